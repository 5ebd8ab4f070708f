package option

import (
	"cmp"
	"os"
	"strings"
)

// Globals are the [options] of the configuration. Most are the defaults of options of the same name.
type Globals struct {
	KeepHostname       bool     `toml:"keep_hostname"`       // the host name of the message is kept
	ChainHostnames     bool     `toml:"chain_hostnames"`     // HOST is a chain of the message's host and the sender
	KeepTimestamp      bool     `toml:"keep_timestamp"`      // the stamp of the message is kept
	UseDNS             bool     `toml:"use_dns"`             // the sender's address is looked up
	UseFQDN            bool     `toml:"use_fqdn"`            // the sender's name keeps its domain
	NormalizeHostnames bool     `toml:"normalize_hostnames"` // to lower case
	CheckHostname      bool     `toml:"check_hostname"`
	BadHostname        string   `toml:"bad_hostname"` // a regular expression of words that are no host name
	RecvTimeZone       Zone     `toml:"recv_time_zone"`
	SendTimeZone       Zone     `toml:"send_time_zone"`
	LocalTimeZone      Zone     `toml:"local_time_zone"`
	TimeFormat         string   `toml:"ts_format"`
	FracDigits         int      `toml:"frac_digits"`
	LogMsgSize         int      `toml:"log_msg_size"`  // bytes
	LogFIFOSize        int      `toml:"log_fifo_size"` // messages
	LogFIFOBytes       Size     `toml:"log_fifo_bytes"`
	LogFetchLimit      int      `toml:"log_fetch_limit"`
	LogIWSize          int      `toml:"log_iw_size"` // messages
	FlushLines         int      `toml:"flush_lines"`
	TimeReopen         Duration `toml:"time_reopen"`
	CreateDirs         bool     `toml:"create_dirs"`
	Perm               Mode     `toml:"perm"`
	DirPerm            Mode     `toml:"dir_perm"`
	Owner              string   `toml:"owner"`
	Group              string   `toml:"group"`
	DrainTimeout       Duration `toml:"drain_timeout"`
	ControlSocket      string   `toml:"control_socket"` // empty: control.sock in systemd's RuntimeDirectory, else none
	ControlGroup       string   `toml:"control_group"`  // of the control socket; empty: that of the process
	StateDir           string   `toml:"state_dir"`      // see State
	MetricsListen      string   `toml:"metrics_listen"` // address for Prometheus; empty: none
	TemplateEscape     bool     `toml:"template_escape"`
	UnmatchedEmbedded  string   `toml:"unmatched_embedded"` // processed, unprocessed
	Comparison         string   `toml:"comparison"`         // number, string
}

// State is the directory for what outlives the process: state_dir, else systemd's StateDirectory, else /var/lib/forwarder.
func (g *Globals) State() string {
	first, _, _ := strings.Cut(os.Getenv("STATE_DIRECTORY"), ":")
	return cmp.Or(g.StateDir, first, "/var/lib/forwarder")
}

const second = Duration(1e9)

// Defaults are the globals of an empty configuration.
func Defaults() Globals {
	return Globals{
		KeepTimestamp: true, TimeFormat: "rfc3164", LogMsgSize: 65536, LogFIFOSize: 10000, LogFIFOBytes: 64 << 20,
		LogFetchLimit: 100, LogIWSize: 1000, FlushLines: 100, TimeReopen: second, Perm: 0o600, DirPerm: 0o700, DrainTimeout: 5 * second,
		UnmatchedEmbedded: "processed", Comparison: "number",
	}
}
