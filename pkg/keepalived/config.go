package keepalived

import (
	"errors"
	"net/netip"
	"path"
	"path/filepath"
	"strconv"
	"time"
)

// DefaultConfig is the file that keepalived reads without -f.
const DefaultConfig = "/etc/keepalived/keepalived.conf"

// Config is what a keepalived.conf says about VRRP: all its files joined, includes,
// variables, host lines and sequences resolved. Passwords are never kept.
type Config struct {
	Instances []ConfigInstance // in the order keepalived creates them
	Groups    []ConfigGroup
	Scripts   []ConfigScript
	Files     []ConfigFile
	Notify    []ConfigNotify // notify_fifo, vrrp_notify_fifo and their _script of global_defs

	ScriptSecurity   bool   // enable_script_security
	ScriptUser       string // script_user USER, "" when not given
	ScriptGroup      string // script_user USER GROUP, "" when not given
	InstanceName     string // instance NAME
	NetNamespace     string // net_namespace NAME
	DataUseInstance  bool   // data_use_instance
	StateDumpFile    string // state_dump_file PATH (>= 2.3.3)
	DynamicInterface bool   // dynamic_interfaces
}

// Pos is a place in a configuration file.
type Pos struct {
	File string
	Line int // from 1; 0 means the file as a whole
}

// String returns p as file:line.
func (p Pos) String() string {
	if p.Line == 0 {
		return p.File
	}
	return p.File + ":" + strconv.Itoa(p.Line)
}

// ConfigInstance is a vrrp_instance block.
type ConfigInstance struct {
	Name      string
	Pos       Pos
	State     State  // the configured role, Master or Backup, keepalived's defaults applied
	StateSaid bool   // the block has a state line
	Interface string // "interface"; "" for unicast without one
	VRID      int    // 0 when there is none or it is not 1 to 255
	Priority  int    // defaults applied: 100, or 255 with state MASTER
	VMAC      string // use_vmac, use_ipvlan: the interface's name, given or default (vrrp.VRID); "" without

	VIPs     []ConfigVIP
	Excluded []ConfigVIP

	TrackScripts    []ConfigTrack
	TrackFiles      []ConfigTrack
	TrackInterfaces []ConfigTrack
	TrackProcesses  []ConfigTrack
	TrackBFDs       []ConfigTrack

	Notify []ConfigNotify
}

// ConfigVIP is a line of virtual_ipaddress or virtual_ipaddress_excluded.
type ConfigVIP struct {
	Prefix netip.Prefix // /32 or /128 when none is given
	Device string       // its own dev, "" for the instance's
	Pos    Pos
}

// ConfigTrack is a line of a track_script, track_file, ... block.
type ConfigTrack struct {
	Name    string
	Pos     Pos
	Weight  int  // of the line, else that of the tracker
	Reverse bool // likewise
	Unknown bool // no such tracker is defined above the line: keepalived ignores the line
}

// ConfigGroup is a vrrp_sync_group block.
type ConfigGroup struct {
	Name    string
	Pos     Pos
	Members []string

	TrackScripts    []ConfigTrack
	TrackFiles      []ConfigTrack
	TrackInterfaces []ConfigTrack
	TrackProcesses  []ConfigTrack
	TrackBFDs       []ConfigTrack

	Notify []ConfigNotify
}

// ConfigScript is a vrrp_script block. One without a script line is not listed:
// keepalived removes it.
type ConfigScript struct {
	Name    string
	Pos     Pos
	Command string // the script line with its arguments, outer quotes removed
	Argv    []string
	User    string // "user" of the block, "" when not given
	Group   string
	Weight  int
	Reverse bool

	// Fractions of a second are those of keepalived >= 2.3.2; before, it ignores such a line.
	Interval time.Duration // 0 when not given, which means 1 s
	Timeout  time.Duration // 0 when not given, which means Interval
	Fall     int           // 0 when not given, which means 1
}

// ConfigFile is a track_file (vrrp_track_file before 2.1) block. One without a file is
// not listed: keepalived ignores it.
type ConfigFile struct {
	Name    string
	Pos     Pos
	File    string // path
	Weight  int    // 1 when not given
	Reverse bool
}

// ConfigNotify is a notify hook: a script, or the path of a FIFO.
type ConfigNotify struct {
	Keyword string // as written: notify, notify_master, notify_fifo, vrrp_notify_fifo_script, ...
	Pos     Pos
	Command string   // the script with its arguments, outer quotes removed; the path of a FIFO
	Argv    []string // nil for a FIFO
	User    string   // "" when not given
	Group   string
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

// ConfigOptions is what a configuration means besides its text.
type ConfigOptions struct {
	Root   string              // directory that is "/" for all paths, e.g. /proc/PID/root; "" for our own
	HostID string              // decides @id lines and is ${_INSTANCE}: keepalived's -i; "" for our node name up to its first dot
	Env    func(string) string // ${_ENV NAME} (>= 2.4.0); nil for our own environment
}

// ConfigError is a configuration that cannot be read, or that keepalived would not start with.
type ConfigError struct {
	Pos Pos
	Msg string
	Err error // the cause, or nil
}

func (e *ConfigError) Error() string {
	if e.Err == nil {
		return e.Pos.String() + ": " + e.Msg
	}
	return e.Pos.String() + ": " + e.Msg + ": " + e.Err.Error()
}

func (e *ConfigError) Unwrap() error { return e.Err }

// LoadConfig reads a keepalived.conf, or several if path is a pattern, with all that it
// includes. What keepalived skips or ignores is skipped here. The error joins a
// *ConfigError for each place that is wrong.
func LoadConfig(path string, opt ConfigOptions) (*Config, error) {
	r, err := openConfig(path, opt)
	if err != nil {
		return nil, err
	}
	return readConfig(r)
}

// ParseConsolidated reads what keepalived (>= 2.2.0) holds as loaded: the text of its
// memory file /keepalived/consolidated_configuration, all files joined. A line "# FILE"
// of it begins an included file, "!" ends it, so positions are those of the files. Name
// is the file keepalived was started with.
func ParseConsolidated(text []byte, name string, opt ConfigOptions) (*Config, error) {
	r := newConfReader(confRootFS(opt.Root), opt)
	r.consolidated = true
	r.files = []*confFile{{name: name, dir: path.Dir(name), text: text}}
	return readConfig(r)
}

// ConfigHostIDs returns the ids of the @id and @^id lines of a keepalived.conf, in order
// of their first appearance: the hosts that it distinguishes.
func ConfigHostIDs(path string) ([]string, error) {
	r, err := openConfig(path, ConfigOptions{})
	if err != nil {
		return nil, err
	}
	for ok := true; ok; {
		_, ok = r.next()
	}
	if len(r.errs) > 0 {
		return nil, errors.Join(r.errs...)
	}
	var ids []string
	seen := map[string]bool{}
	for _, id := range r.hostIDs {
		if !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	return ids, nil
}

func openConfig(name string, opt ConfigOptions) (*confReader, error) {
	if opt.Root == "" {
		abs, err := filepath.Abs(name)
		if err != nil {
			return nil, err
		}
		name = abs
	}
	r := newConfReader(confRootFS(opt.Root), opt)
	r.include(name, 'a', Pos{File: name})
	return r, nil
}
