package keepalived

import (
	"net/netip"
	"time"
)

// State is a VRRP state as keepalived runs it, in keepalived's own spelling.
type State string

// The states of vrrp/vrrp.h and of the notify interface. Stop and Deleted are only
// ever reported by notify scripts and the JSON dump (97, 98).
const (
	Init    State = "INIT"
	Backup  State = "BACKUP"
	Master  State = "MASTER"
	Fault   State = "FAULT"
	Stop    State = "STOP"
	Deleted State = "DELETED"
)

// Dump is what a keepalived VRRP process says of itself, from its text dump
// (SIGUSR1, keepalived.data) or from its JSON dump (SIGRTMIN+2, keepalived.json).
// A field that the version or the format does not print has its zero value.
// Passwords are never kept.
type Dump struct {
	// Global values, from the block "Global definitions" (>= 2.0).
	RouterID         string // "Router ID"
	NetworkNamespace string // "" for the default one
	ScriptSecurity   bool   // enable_script_security

	Instances  []Instance // in keepalived.conf's order
	SyncGroups []SyncGroup
	Scripts    []Script
	Files      []TrackFile
	Processes  []TrackProcess
	BFDs       []TrackBFD
	Interfaces []Interface
}

// Instance is one VRRP instance of a dump.
type Instance struct {
	Name              string
	Line              int // of its "VRRP Instance = " line, from 1; 0 in JSON
	Version           int // VRRP version, 2 or 3
	State             State
	WantState         State // follows State at run time: not the configured role
	VRID              int   // "Virtual Router ID", 1 to 255
	Priority          int   // base priority
	EffectivePriority int   // after the trackers' weights
	MasterRouter      netip.Addr
	MasterPriority    int
	SrcIP             netip.Addr
	LastTransition    time.Time
	AdvertInterval    time.Duration
	NoPreempt         bool
	Interface         string // kernel's name of the device that carries the instance, e.g. eth0 or vrrp.51
	BaseInterface     string // with VMAC or IPVLAN the device below Interface, else ""
	Unicast           bool
	Faults            int // trackers and interfaces that hold it in FAULT; -1 when the version does not say
	ConfigFaults      int
	ScriptsInit       int // "Number of track scripts init": first runs still pending

	VIPs     []VIP
	Excluded []VIP // virtual_ipaddress_excluded

	TrackedScripts    []Tracked
	TrackedInterfaces []Tracked
	TrackedFiles      []Tracked
	TrackedProcesses  []Tracked
	TrackedBFDs       []Tracked
}

// VIP is one virtual address of an instance.
type VIP struct {
	Prefix netip.Prefix // /32 or /128 when keepalived prints none
	Device string       // kernel's name of the device it belongs on, e.g. eth0 or vrrp.51; "" when not printed
	Label  string
	Set    bool // keepalived believes that the address is on the device (>= 2.0)
}

// Tracked is an instance's reference to a tracker.
type Tracked struct {
	Name     string
	Weight   int
	Reverse  bool
	NoWeight bool // the version prints no weight
}

// SyncGroup is a vrrp_sync_group.
type SyncGroup struct {
	Name    string
	State   State
	Members []string
}

// Script is a vrrp_script.
type Script struct {
	Name     string
	Command  string // as printed, quotes of the outside removed
	Interval time.Duration
	Timeout  time.Duration // 0: the interval
	Weight   int
	Rise     int
	Fall     int
	Status   string // GOOD, BAD, or keepalived's other words (INIT, ...); "" when not printed
	Running  bool
	Insecure bool
}

// TrackFile is a track_file (vrrp_track_file before 2.1).
type TrackFile struct {
	Name   string
	File   string // path
	Value  int    // "Status": the number read from the file
	Weight int
}

// TrackProcess is a track_process.
type TrackProcess struct {
	Name    string
	Process string
	Min     int
	Current int
	Quorum  bool
}

// TrackBFD is a track_bfd.
type TrackBFD struct {
	Name string
	Up   bool
}

// Interface is a network interface as keepalived sees it (>= 2.0).
type Interface struct {
	Name    string
	Up      bool // administratively
	Running bool // has carrier
}

// Instance returns the instance of that name, or nil.
func (d *Dump) Instance(name string) *Instance {
	for i := range d.Instances {
		if d.Instances[i].Name == name {
			return &d.Instances[i]
		}
	}
	return nil
}

// Script returns the vrrp_script of that name, or nil.
func (d *Dump) Script(name string) *Script {
	for i := range d.Scripts {
		if d.Scripts[i].Name == name {
			return &d.Scripts[i]
		}
	}
	return nil
}
