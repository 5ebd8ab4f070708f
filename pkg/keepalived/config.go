package keepalived

import "net/netip"

// Config is what a keepalived.conf says about VRRP: all its files joined, includes,
// variables, host lines and sequences resolved. Passwords are never kept.
type Config struct {
	Instances []ConfigInstance // in the order keepalived creates them
	Groups    []ConfigGroup
	Scripts   []ConfigScript
	Files     []ConfigFile

	ScriptSecurity   bool   // enable_script_security
	ScriptUser       string // script_user USER, "" when not given
	InstanceName     string // instance NAME
	NetNamespace     string // net_namespace NAME
	DataUseInstance  bool   // data_use_instance
	StateDumpFile    string // state_dump_file PATH
	DynamicInterface bool   // dynamic_interfaces
}

// Pos is a place in a configuration file.
type Pos struct {
	File string
	Line int // from 1
}

// ConfigInstance is a vrrp_instance block.
type ConfigInstance struct {
	Name      string
	Pos       Pos
	State     State  // the configured role, Master or Backup, keepalived's defaults applied
	StateSaid bool   // the block has a state line
	Interface string // "interface", or the global default_interface
	VRID      int
	Priority  int    // defaults applied: 100, or 255 with state MASTER
	VMAC      string // use_vmac, use_ipvlan: the interface's name, given or default (vrrp.VRID); "" without

	VIPs     []ConfigVIP
	Excluded []ConfigVIP

	TrackScripts    []ConfigTrack
	TrackFiles      []ConfigTrack
	TrackInterfaces []ConfigTrack
	TrackProcesses  []ConfigTrack
	TrackBFDs       []ConfigTrack
}

// ConfigVIP is a line of virtual_ipaddress or virtual_ipaddress_excluded.
type ConfigVIP struct {
	Prefix netip.Prefix // /32 or /128 when none is given
	Device string       // its own dev, "" for the instance's
	Pos    Pos
}

// ConfigTrack is a line of a track_script, track_file, ... block.
type ConfigTrack struct {
	Name string
	Pos  Pos
}

// ConfigGroup is a vrrp_sync_group block.
type ConfigGroup struct {
	Name    string
	Pos     Pos
	Members []string
}

// ConfigScript is a vrrp_script block.
type ConfigScript struct {
	Name    string
	Pos     Pos
	Command string // the script line with its arguments, outer quotes removed
	Argv    []string
	User    string // "user" of the block, "" when not given
	Weight  int
}

// ConfigFile is a track_file (vrrp_track_file before 2.1) block.
type ConfigFile struct {
	Name   string
	Pos    Pos
	File   string // path
	Weight int
}

// Instance returns the vrrp_instance of that name, or nil.
func (c *Config) Instance(name string) *ConfigInstance {
	for i := range c.Instances {
		if c.Instances[i].Name == name {
			return &c.Instances[i]
		}
	}
	return nil
}
