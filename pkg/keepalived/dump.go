package keepalived

import (
	"fmt"
	"net/netip"
	"time"
)

// State is a VRRP state as keepalived runs it, in keepalived's own spelling.
type State string

// The states of vrrp/vrrp.h and of the notify interface. Stop and Deleted are only
// ever reported by notify scripts and the JSON dump (98, 97).
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
// Passwords are never kept. Marshalled as JSON it is kad's own document, not keepalived's:
// durations are in nanoseconds, times in UTC.
type Dump struct {
	// Global values, from the block "Global definitions" (>= 2.0).
	RouterID         string `json:"router_id,omitzero"`
	InstanceName     string `json:"instance_name,omitzero"`     // "instance" of the configuration
	NetworkNamespace string `json:"network_namespace,omitzero"` // "" for the default one
	DefaultInterface string `json:"default_interface,omitzero"`
	DynamicInterface bool   `json:"dynamic_interfaces,omitzero"`
	ScriptSecurity   bool   `json:"script_security,omitzero"` // enable_script_security
	ScriptUser       string `json:"script_user,omitzero"`     // "uid:gid" of script_user

	Instances  []Instance     `json:"instances,omitempty"` // in keepalived.conf's order
	SyncGroups []SyncGroup    `json:"sync_groups,omitempty"`
	Scripts    []Script       `json:"scripts,omitempty"`
	Files      []TrackFile    `json:"track_files,omitempty"`
	Processes  []TrackProcess `json:"track_processes,omitempty"`
	BFDs       []TrackBFD     `json:"track_bfds,omitempty"`
	Interfaces []Interface    `json:"interfaces,omitempty"`
}

// Instance is one VRRP instance of a dump.
type Instance struct {
	Name                 string        `json:"name"`
	Line                 int           `json:"line,omitzero"` // of its "VRRP Instance = " line, from 1; 0 in JSON
	Version              int           `json:"version"`       // VRRP version, 2 or 3
	IPv6                 bool          `json:"ipv6,omitzero"` // "Using Native IPv6"
	SyncGroup            string        `json:"sync_group,omitzero"`
	State                State         `json:"state"`
	WantState            State         `json:"wantstate,omitzero"`  // follows State at run time: not the configured role
	InitState            State         `json:"init_state,omitzero"` // JSON of 1.3: the configured role, until the first reload
	VRID                 int           `json:"virtual_router_id"`   // 1 to 255
	Priority             int           `json:"priority"`            // base priority
	EffectivePriority    int           `json:"effective_priority"`  // after the trackers' weights
	TotalPriority        int           `json:"total_priority,omitzero"`
	MasterRouter         netip.Addr    `json:"master_router,omitzero"`
	MasterPriority       int           `json:"master_priority,omitzero"`
	SrcIP                netip.Addr    `json:"src_ip,omitzero"`
	LastTransition       time.Time     `json:"last_transition,omitzero"` // UTC
	AdvertInterval       time.Duration `json:"advert_interval_ns"`
	MasterAdvertInterval time.Duration `json:"master_advert_interval_ns,omitzero"`
	MasterDownTimer      time.Duration `json:"master_down_timer_ns,omitzero"`
	LastAdvertSent       time.Time     `json:"last_advert_sent,omitzero"` // UTC
	NoPreempt            bool          `json:"nopreempt,omitzero"`
	PreemptDelay         time.Duration `json:"preempt_delay_ns,omitzero"`
	Accept               bool          `json:"accept,omitzero"`
	PromoteSecondaries   bool          `json:"promote_secondaries,omitzero"`
	Strict               bool          `json:"strict_mode,omitzero"`
	DontTrackPrimary     bool          `json:"dont_track_primary,omitzero"`
	SkipCheckAdvAddr     bool          `json:"skip_check_adv_addr,omitzero"`
	AuthType             string        `json:"auth_type,omitzero"`            // SIMPLE_PASSWORD, IPSEC_AH, none
	Interface            string        `json:"interface"`                     // kernel's name of the device that carries the instance, e.g. eth0 or vrrp.51
	BaseInterface        string        `json:"base_interface,omitzero"`       // with VMAC or IPVLAN the device below Interface, else ""
	ConfiguredInterface  string        `json:"configured_interface,omitzero"` // when BaseInterface is not what the configuration says
	XmitBase             bool          `json:"vmac_xmit_base,omitzero"`
	VRF                  string        `json:"vrf,omitzero"`
	Unicast              bool          `json:"unicast,omitzero"`
	UnicastPeers         []netip.Addr  `json:"unicast_peers,omitempty"`
	GARP                 GARP          `json:"garp,omitzero"`

	Faults          int      `json:"faults"` // trackers and interfaces that hold it in FAULT; -1 when the version does not say
	ConfigFaults    int      `json:"config_faults,omitzero"`
	InterfaceFaults []string `json:"interface_faults,omitempty"` // "i/f down", "no source IP address", ... (>= 2.3)
	DuplicateVRID   bool     `json:"duplicate_vrid,omitzero"`
	ScriptsInit     int      `json:"scripts_init,omitzero"` // "Number of track scripts init": first runs still pending

	VIPs     []VIP    `json:"vips,omitempty"`
	Excluded []VIP    `json:"excluded_vips,omitempty"` // virtual_ipaddress_excluded
	Routes   []string `json:"virtual_routes,omitempty"`
	Rules    []string `json:"virtual_rules,omitempty"`

	TrackedScripts    []Tracked `json:"tracked_scripts,omitempty"` // JSON has no names: the commands
	TrackedInterfaces []Tracked `json:"tracked_interfaces,omitempty"`
	TrackedFiles      []Tracked `json:"tracked_files,omitempty"`
	TrackedProcesses  []Tracked `json:"tracked_processes,omitempty"`
	TrackedBFDs       []Tracked `json:"tracked_bfds,omitempty"`

	Notify []NotifyScript `json:"notify,omitempty"`
	Stats  *Stats         `json:"stats,omitempty"` // only in JSON
}

// GARP is how an instance sends gratuitous ARP or neighbour advertisements.
type GARP struct {
	Delay           time.Duration `json:"master_delay_ns"`
	Repeat          int           `json:"master_repeat"`
	Refresh         time.Duration `json:"master_refresh_ns"` // 0: never
	RefreshRepeat   int           `json:"master_refresh_repeat"`
	LowerPrioDelay  time.Duration `json:"lower_prio_delay_ns"`
	LowerPrioRepeat int           `json:"lower_prio_repeat"`
}

// VIP is one virtual address of an instance.
type VIP struct {
	Prefix    netip.Prefix `json:"address"`         // /32 or /128 when keepalived prints none
	Device    string       `json:"device,omitzero"` // kernel's name of the device it belongs on, e.g. eth0 or vrrp.51; "" when not printed
	Broadcast netip.Addr   `json:"broadcast,omitzero"`
	Scope     string       `json:"scope,omitzero"`
	Label     string       `json:"label,omitzero"`
	Peer      netip.Prefix `json:"peer,omitzero"`
	Set       bool         `json:"set"` // keepalived believes that the address is on the device (>= 2.0, and JSON)
}

// Tracked is a reference of an instance or a sync group to a tracker.
type Tracked struct {
	Name     string `json:"name"`
	Weight   int    `json:"weight"`
	Reverse  bool   `json:"reverse,omitzero"`
	NoWeight bool   `json:"no_weight,omitzero"` // no weight is printed
}

// NotifyScript is a script that keepalived runs on a change of state.
type NotifyScript struct {
	On      string `json:"on"` // Backup, Master, Fault, Stop, Deleted, Master rx lower pri; Generic for all
	Command string `json:"command"`
}

// SyncGroup is a vrrp_sync_group. What it tracks holds for each member, and is not
// among the members' own trackers.
type SyncGroup struct {
	Name    string   `json:"name"`
	State   State    `json:"state"`
	Members []string `json:"members,omitempty"`

	TrackedScripts    []Tracked `json:"tracked_scripts,omitempty"`
	TrackedInterfaces []Tracked `json:"tracked_interfaces,omitempty"`
	TrackedFiles      []Tracked `json:"tracked_files,omitempty"`
	TrackedProcesses  []Tracked `json:"tracked_processes,omitempty"`
	TrackedBFDs       []Tracked `json:"tracked_bfds,omitempty"`

	Notify []NotifyScript `json:"notify,omitempty"`
}

// Script is a vrrp_script.
type Script struct {
	Name     string        `json:"name"`
	Command  string        `json:"command"`       // as printed; a lone argument without its quotes
	User     string        `json:"user,omitzero"` // "uid:gid"
	Interval time.Duration `json:"interval_ns"`
	Timeout  time.Duration `json:"timeout_ns,omitzero"` // 0: the interval
	Weight   int           `json:"weight"`
	Reverse  bool          `json:"reverse,omitzero"`
	Rise     int           `json:"rise"`
	Fall     int           `json:"fall"`
	Status   string        `json:"status,omitzero"`  // GOOD, BAD; INIT, INIT/GOOD, INIT/FAILED before the first result
	Running  bool          `json:"running,omitzero"` // a run has not ended (>= 2.0)
	Insecure bool          `json:"insecure,omitzero"`
}

// TrackFile is a track_file (vrrp_track_file before 2.1).
type TrackFile struct {
	Name    string `json:"name"`
	File    string `json:"file"`   // path
	Value   int    `json:"status"` // "Status": the number read from the file
	Weight  int    `json:"weight"`
	Reverse bool   `json:"reverse,omitzero"`
}

// TrackProcess is a track_process.
type TrackProcess struct {
	Name    string `json:"name"`
	Process string `json:"process,omitzero"`
	Min     int    `json:"min_processes"`
	Max     int    `json:"max_processes,omitzero"` // 0: no limit
	Current int    `json:"current_processes"`
	Quorum  bool   `json:"have_quorum"`
	Weight  int    `json:"weight"`
	Reverse bool   `json:"reverse,omitzero"`
}

// TrackBFD is a track_bfd.
type TrackBFD struct {
	Name    string `json:"name"`
	Up      bool   `json:"up"`
	Weight  int    `json:"weight"`
	Reverse bool   `json:"reverse,omitzero"`
}

// Interface is a network interface as keepalived sees it. 1.3 prints only those that an
// instance tracks.
type Interface struct {
	Name    string     `json:"name"`
	Index   int        `json:"index"` // 0: deleted
	IPv4    netip.Addr `json:"ipv4,omitzero"`
	IPv6    netip.Addr `json:"ipv6,omitzero"`
	MAC     string     `json:"mac,omitzero"`
	MTU     int        `json:"mtu,omitzero"`
	Up      bool       `json:"up"`      // administratively
	Running bool       `json:"running"` // has carrier
}

// Stats counts what an instance sent, received and refused since keepalived's start
// (vrrp_stats in vrrp/vrrp.h).
type Stats struct {
	AdvertRcvd        uint64 `json:"advert_rcvd"`
	AdvertSent        uint64 `json:"advert_sent"`
	BecomeMaster      uint64 `json:"become_master"`
	ReleaseMaster     uint64 `json:"release_master"`
	PacketLenErr      uint64 `json:"packet_len_err"`
	AdvertIntervalErr uint64 `json:"advert_interval_err"`
	IPTTLErr          uint64 `json:"ip_ttl_err"`
	InvalidTypeRcvd   uint64 `json:"invalid_type_rcvd"`
	AddrListErr       uint64 `json:"addr_list_err"`
	InvalidAuthType   uint64 `json:"invalid_authtype"`
	AuthTypeMismatch  uint64 `json:"authtype_mismatch"`
	AuthFailure       uint64 `json:"auth_failure"`
	PriZeroRcvd       uint64 `json:"pri_zero_rcvd"`
	PriZeroSent       uint64 `json:"pri_zero_sent"`
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

// MaxDump is the largest dump, in bytes, that ParseDump and ParseDumpJSON take; 500
// instances need less than 1 MB.
const MaxDump = 64 << 20

// A SyntaxError says where a dump is not what keepalived writes.
type SyntaxError struct {
	File      string // for the caller to fill in; "" leaves it out
	Line      int    // from 1; 0 when the whole input is meant
	Msg       string
	Truncated bool // the end is missing: a dump still being written, or a full disk
}

func (e *SyntaxError) Error() string {
	switch {
	case e.Line == 0 && e.File == "":
		return e.Msg
	case e.Line == 0:
		return e.File + ": " + e.Msg
	case e.File == "":
		return fmt.Sprintf("line %d: %s", e.Line, e.Msg)
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Msg)
}
