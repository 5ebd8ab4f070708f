package convert

import (
	"fmt"
	"strings"
	"sync"
)

// A driver says what a driver of syslog-ng becomes.
type driver struct {
	name       string   // in TOML
	positional []option // what its values without a name are
	defaults   []entry  // keys that syslog-ng has otherwise by default
	options    options
	priority   string // its default, of which default-facility() and default-level() change a half; empty: user.notice
}

// The tables below are made when something is converted, and not at the start of a program that seldom does.

// reasons for options that are left out.
const (
	noStatistics = "metrics are always counted"
	noTuning     = "forwarder tunes itself"
	noCache      = "nothing waits for a name server"
)

var globalOptions = sync.OnceValue(func() options {
	return join(
		each(boolean, "keep_hostname", "chain_hostnames", "keep_timestamp", "use_dns", "use_fqdn", "normalize_hostnames", "create_dirs", "template_escape"),
		each(text, "bad_hostname", "recv_time_zone", "send_time_zone", "local_time_zone"),
		filePermissions(),
		each(integer, "frac_digits", "log_msg_size", "log_fifo_size", "log_fetch_limit", "log_iw_size", "flush_lines"),
		each(seconds, "time_reopen"),
		options{
			"check_hostname":      {convert: (*translator).checkHostname},
			"trim_large_messages": {convert: (*translator).trimLargeMessages},
			"suppress":            {convert: zeroOr(nil)},
			"use_rcptid":          {convert: falseOnly},
			"use_uniqid":          {convert: falseOnly},
			"ts_format":           {key: "ts_format", convert: timeFormat},
			"time_zone":           {key: "send_time_zone", convert: text},
			"long_hostnames":      {key: "chain_hostnames", convert: boolean},
			"file_template":       {convert: (*translator).fileTemplate},
			"proto_template":      {convert: (*translator).protoTemplate},
			"mark_freq":           {note: "there are no mark messages"},
			"mark_mode":           {note: "there are no mark messages"},
			"on_error":            {convert: only("drop-message", "silently-drop-message", "drop_message")},
			"dns_cache":           {note: noCache},
		},
		leftOut(noStatistics, "stats_freq", "stats_level", "stats_lifetime", "stats_max_dynamic", "stats_max_dynamics"),
		leftOut("forwarder log-level changes it", "log_level"),
		leftOut(noCache, "dns_cache_expire", "dns_cache_expire_failed", "dns_cache_size", "dns_cache_hosts"),
		leftOut(noTuning, "threaded", "flush_timeout", "sync", "sync_freq", "time_sleep", "min_iw_size_per_reader", "log_fetch_limit_per_reader", "time_reap", "gc_busy_threshold", "gc_idle_threshold"),
		leftOut("credentials of local senders are not taken", "pass_unix_credentials"),
	)
})

var timeFormat = oneOf(map[string]string{"rfc3164": "rfc3164", "bsd": "rfc3164", "rfc3339": "rfc3339", "iso": "rfc3339", "full": "full", "unix": "unix", "utc": "unix"})

// destinationTemplate is the template of a destination. template-escape() is about the one before it, if that has no name.
func (t *translator) destinationTemplate(c *call) (value, bool) {
	v, ok := template(t, c)
	t.inline = ok && !strings.HasPrefix(v.(string), "$(template ")
	keys := &table{pos: c.pos}
	keys.set("template", v, c.pos)
	if t.escaped {
		keys.set("template_escape", false, c.pos)
	}
	return keys, ok
}

func (t *translator) destinationEscape(c *call) (value, bool) {
	v, ok := boolean(t, c)
	if ok && v == true && !t.inline {
		t.diags.add(Warning, c.pos, "it has to stand behind template(), which has to have its text there", "syslog-ng does not heed this template-escape(), it is left out")
		return nil, false
	}
	t.escaped = v == true
	keys := &table{pos: c.pos}
	keys.set("template_escape", v, c.pos)
	return keys, ok
}

// filePermissions may be without a value: then they stay as they are.
func filePermissions() options {
	return join(
		each(ifGiven(mode), "perm", "dir_perm"), each(ifGiven(text), "owner", "group"),
	)
}

func ifGiven(convert func(t *translator, c *call) (value, bool)) func(t *translator, c *call) (value, bool) {
	return func(t *translator, c *call) (value, bool) {
		if len(c.args) == 0 {
			return nil, false
		}
		return convert(t, c)
	}
}

// checkHostname is left out: the option of all sources does nothing, only that of one.
func (t *translator) checkHostname(c *call) (value, bool) {
	if v, ok := boolean(t, c); ok && v == true {
		t.diags.add(Warning, c.pos, "a source has the flag check-hostname", "syslog-ng 3.38 does not heed check-hostname() of all sources, it is left out")
	}
	return nil, false
}

// trimLargeMessages is the default of network sources.
func (t *translator) trimLargeMessages(c *call) (value, bool) {
	v, _ := boolean(t, c)
	t.trimLarge = v == true
	return nil, false
}

// logPrefix is the program, up to its last colon.
func logPrefix(t *translator, c *call) (value, bool) {
	v, ok := t.single(c)
	if !ok {
		return nil, false
	}
	if i := strings.LastIndexByte(v.text, ':'); i >= 0 {
		return v.text[:i], true
	}
	return v.text, true
}

// zeroOr leaves out an option that is 0.
func zeroOr(convert func(t *translator, c *call) (value, bool)) func(t *translator, c *call) (value, bool) {
	return func(t *translator, c *call) (value, bool) {
		if v, ok := t.single(c); !ok || v.text == "0" {
			return nil, false
		}
		if convert == nil {
			t.gap(c.pos, "", "option %s() has no counterpart", dashed(c.name))
			return nil, false
		}
		return convert(t, c)
	}
}

// only leaves out an option that says what is so anyway.
func only(words ...string) func(t *translator, c *call) (value, bool) {
	return func(t *translator, c *call) (value, bool) {
		v, ok := t.single(c)
		if !ok {
			return nil, false
		}
		for _, w := range words {
			if v.text == w {
				return nil, false
			}
		}
		t.gap(c.pos, "", "%s(%s) has no counterpart", dashed(c.name), v.text)
		return nil, false
	}
}

func sourceOptions() options {
	return join(
		each(boolean, "keep_hostname", "chain_hostnames", "keep_timestamp", "use_dns", "use_fqdn", "normalize_hostnames"),
		each(integer, "log_msg_size", "log_iw_size"),
		each(text, "time_zone", "host_override", "program_override"),
		each(flags, "flags"),
		each(texts, "tags"),
		options{
			"log_prefix":       {key: "program_override", convert: logPrefix},
			"default_facility": {key: "default_priority", convert: defaultFacility},
			"default_priority": {key: "default_priority", convert: defaultSeverity},
			"default_severity": {key: "default_priority", convert: defaultSeverity},
			"default_level":    {key: "default_priority", convert: defaultSeverity},
			"dns_cache":        {note: noCache},
			"format":           {convert: only("syslog")},
			"encoding":         {convert: only("utf-8", "UTF-8")},
			"check_hostname":   {key: "flags", convert: flagIf("check_hostname")},
		},
		leftOut(noTuning, "log_fetch_limit", "persist_name"),
	)
}

// flagIf is for a boolean that is a flag in TOML.
func flagIf(name string) func(t *translator, c *call) (value, bool) {
	return func(t *translator, c *call) (value, bool) {
		if v, ok := boolean(t, c); !ok || v == false {
			return nil, false
		}
		return list{name}, true
	}
}

// defaultFacility and defaultSeverity keep the other half of the default, user.notice.
func defaultFacility(t *translator, c *call) (value, bool) {
	v, ok := t.single(c)
	if !ok {
		return nil, false
	}
	_, severity := t.priority()
	return t.setPriority(v.text, severity), true
}

func defaultSeverity(t *translator, c *call) (value, bool) {
	v, ok := t.single(c)
	if !ok {
		return nil, false
	}
	facility, _ := t.priority()
	return t.setPriority(facility, v.text), true
}

func (t *translator) priority() (facility, severity string) {
	facility, severity, ok := strings.Cut(t.defaultPriority, ".")
	if !ok {
		return "user", "notice"
	}
	return facility, severity
}

func (t *translator) setPriority(facility, severity string) string {
	t.defaultPriority = facility + "." + severity
	return t.defaultPriority
}

func socketOptions() options {
	return join(
		each(integer, "so_rcvbuf", "so_sndbuf"),
		each(boolean, "so_keepalive"),
		options{
			"so_broadcast": {convert: falseOnly}, "ip_ttl": {convert: zeroOr(nil)}, "ip_tos": {convert: zeroOr(nil)},
		},
		leftOut("the connections stay open over a reload", "keep_alive"),
		leftOut("keepalive is the kernel's", "tcp_keepalive_time", "tcp_keepalive_probes", "tcp_keepalive_intvl"),
	)
}

// falseOnly leaves out an option that is no.
func falseOnly(t *translator, c *call) (value, bool) {
	if v, ok := boolean(t, c); ok && v == true {
		t.gap(c.pos, "", "option %s() has no counterpart", dashed(c.name))
	}
	return nil, false
}

func networkSourceOptions() options {
	return join(sourceOptions(), socketOptions(),
		each(integer, "max_connections", "listen_backlog", "ip_protocol"),
		each(boolean, "trim_large_messages", "so_reuseport"),
		each(text, "ip"),
		options{
			"ip_freebind": {key: "freebind", convert: boolean},
			"localip":     {key: "ip", convert: text},
			"port":        {key: "port", convert: port},
			"localport":   {key: "port", convert: port},
			"destport":    {key: "port", convert: port},
			"transport":   {convert: transport(true)},
			"tls":         {key: "tls", convert: sub(sourceTLS)},
			"stats":       {note: noStatistics},
		},
		leftOut(noTuning, "dynamic_window_size", "dynamic_window_stats_freq", "dynamic_window_realloc_ticks", "ebpf"),
	)
}

var services = map[string]int64{"syslog": 514, "syslog-tls": 6514, "syslog-conn": 601, "shell": 514}

func port(t *translator, c *call) (value, bool) {
	v, ok := t.single(c)
	if !ok {
		return nil, false
	}
	if n, ok := services[v.text]; ok {
		return n, true
	}
	n, ok := parseInteger(v.text)
	if !ok || n < 0 || n > 65535 {
		t.errorf(v.pos, "%s is not a port", v)
		return nil, false
	}
	return n, true
}

// transport may mean more than one key; only sources may be behind a balancer.
func transport(source bool) func(t *translator, c *call) (value, bool) {
	return func(t *translator, c *call) (value, bool) {
		v, ok := t.single(c)
		if !ok {
			return nil, false
		}
		keys := &table{}
		name, proxied := strings.CutPrefix(v.text, "proxied-")
		name, six := strings.CutSuffix(name, "6")
		if name != "tcp" && name != "udp" && name != "tls" || proxied && (!source || name == "udp") {
			t.gap(v.pos, "it can be tcp, udp or tls", "transport(%s) has no counterpart", v.text)
			return nil, false
		}
		keys.set("transport", name, c.pos)
		if six {
			keys.set("ip_protocol", int64(6), c.pos)
		}
		if proxied {
			keys.set("proxy_protocol", list{"0.0.0.0/0", "::/0"}, c.pos)
			t.diags.add(Warning, v.pos, "name the balancers in proxy_protocol", "every sender is believed what its PROXY header says, as syslog-ng does")
		}
		return keys, true
	}
}

func tlsOptions() options {
	return join(
		each(text, "cert_file", "key_file", "ca_file", "ca_dir"),
		options{
			"ssl_options":    {convert: sslOptions},
			"allow_compress": {convert: falseOnly},
			"cipher_suite":   {},
			"crl_dir":        {},
		},
	)
}

func sourceTLS() options {
	return join(tlsOptions(), options{
		"peer_verify": {key: "peer_verify", convert: oneOf(map[string]string{
			"yes": "required", "required_trusted": "required", "optional_trusted": "optional", "optional_untrusted": "none", "no": "none",
		})},
	})
}

func destinationTLS() options {
	return join(tlsOptions(), options{
		"peer_verify": {key: "peer_verify", convert: oneOf(map[string]string{
			"yes": "required", "required_trusted": "required", "optional_trusted": "required", "optional_untrusted": "none", "required_untrusted": "none", "no": "none",
		})},
		"sni": {note: "the server's name is always sent"},
	})
}

func sslOptions(t *translator, c *call) (value, bool) {
	values, _ := t.arguments(c)
	keys := &table{}
	for _, v := range values {
		switch normalize(v.text) {
		case "no_sslv2", "no_sslv3", "no_tlsv1", "no_tlsv11", "none":
		case "no_tlsv12":
			keys.set("min_version", "1.3", c.pos)
		default:
			t.gap(v.pos, "", "ssl-options(%s) has no counterpart", v.text)
		}
	}
	return keys, true
}

func unixSourceOptions() options {
	return join(sourceOptions(), socketOptions(),
		each(ifGiven(mode), "perm"), each(ifGiven(text), "owner", "group"), each(boolean, "create_dirs"), each(integer, "max_connections", "listen_backlog"),
		leftOut("a socket that is there is replaced", "optional"),
		leftOut(noTuning, "so_sndbuf", "so_keepalive"),
		leftOut("credentials of local senders are not taken", "pass_unix_credentials"),
	)
}

func fileSourceOptions() options {
	return join(sourceOptions(), each(seconds, "follow_freq"), each(boolean, "read_old_records"),
		options{
			"multi_line_mode": {convert: only("none")},
			"pad_size":        {convert: zeroOr(nil)},
		},
		leftOut("a file that is read is not made", "perm", "owner", "group", "dir_perm", "dir_owner", "dir_group"),
	)
}

var pathOption = option{key: "path", convert: text}

var sourceDrivers = sync.OnceValue(func() map[string]driver {
	return map[string]driver{
		"network":     {name: "network", options: networkSourceOptions()},
		"tcp":         {name: "network", options: networkSourceOptions(), defaults: []entry{{key: "transport", value: "tcp"}, {key: "port", value: int64(514)}}},
		"udp":         {name: "network", options: networkSourceOptions(), defaults: []entry{{key: "transport", value: "udp"}}},
		"tcp6":        {name: "network", options: networkSourceOptions(), defaults: []entry{{key: "transport", value: "tcp"}, {key: "port", value: int64(514)}, {key: "ip_protocol", value: int64(6)}}},
		"udp6":        {name: "network", options: networkSourceOptions(), defaults: []entry{{key: "transport", value: "udp"}, {key: "ip_protocol", value: int64(6)}}},
		"syslog":      {name: "syslog", options: networkSourceOptions()},
		"unix_dgram":  {name: "unix_dgram", positional: []option{pathOption}, options: unixSourceOptions()},
		"unix_stream": {name: "unix_stream", positional: []option{pathOption}, options: unixSourceOptions()},
		"file":        {name: "file", positional: []option{pathOption}, options: fileSourceOptions()},
		"wildcard_file": {name: "file", options: join(fileSourceOptions(), options{
			"base_dir":         {key: "base_dir", convert: text},
			"filename_pattern": {key: "filename_pattern", convert: text},
			"recursive":        {convert: falseOnly},
			"monitor_method":   {note: noTuning},
			"max_files":        {note: noTuning},
		})},
		"systemd_journal": {name: "journal", priority: "local0.notice", options: join(sourceOptions(),
			each(text, "prefix"), each(boolean, "read_old_records"), each(integer, "max_field_size"))},
		"internal": {name: "internal", options: sourceOptions()},
		"stdin":    {name: "stdin", options: sourceOptions()},
	}
})

func destinationOptions() options {
	return join(
		each(integer, "frac_digits", "log_fifo_size", "throttle", "truncate_size"),
		each(seconds, "time_reopen"),
		each(text, "time_zone"),
		options{
			"flags":           {key: "flags", convert: flags, last: true},
			"template":        {convert: (*translator).destinationTemplate},
			"template_escape": {convert: (*translator).destinationEscape},
			"ts_format":       {key: "ts_format", convert: timeFormat},
			"send_time_zone":  {key: "time_zone", convert: text},
			"suppress":        {convert: zeroOr(nil)},
			"pad_size":        {convert: zeroOr(nil)},
			"mark_mode":       {note: "there are no mark messages"},
			"mark_freq":       {note: "there are no mark messages"},
			"on_error":        {convert: only("drop-message", "silently-drop-message")},
		},
		leftOut("no file has its name from it", "local_time_zone"),
		leftOut(noTuning, "flush_lines", "flush_timeout", "sync", "sync_freq", "persist_name", "batch_lines", "batch_timeout", "workers"),
	)
}

func fileOptions() options {
	return join(
		each(boolean, "create_dirs", "fsync"), filePermissions(), each(seconds, "time_reap"), each(text, "local_time_zone"),
		options{"overwrite_if_older": {convert: zeroOr(nil)}},
		leftOut("a file that cannot be opened stops nothing else", "optional"),
	)
}

func networkDestinationOptions() options {
	return join(destinationOptions(), socketOptions(),
		options{
			"port":             {key: "port", convert: port},
			"ip_protocol":      {note: "the address tells"},
			"destport":         {key: "port", convert: port},
			"localip":          {key: "local_ip", convert: text},
			"localport":        {key: "local_port", convert: port},
			"transport":        {convert: transport(false)},
			"tls":              {key: "tls", convert: sub(destinationTLS)},
			"failover":         {key: "failover", convert: sub(failoverOptions)},
			"failover_servers": {key: "failover", convert: failoverServers},
			"spoof_source":     {convert: falseOnly},
			"disk_buffer":      diskBuffer,
		},
	)
}

var diskBuffer = option{key: "disk_buffer", convert: sub(diskBufferOptions)}

func diskBufferOptions() options {
	return join(
		each(boolean, "reliable"), each(integer, "capacity_bytes", "front_cache_size"), each(text, "dir"),
		options{
			"disk_buf_size": {key: "capacity_bytes", convert: integer},
			"qout_size":     {key: "front_cache_size", convert: integer},
		},
		leftOut(noTuning, "mem_buf_length", "mem_buf_size", "flow_control_window_bytes", "flow_control_window_size", "compaction", "prealloc", "truncate_size_ratio"),
	)
}

func failoverOptions() options {
	return join(each(texts, "servers"), options{
		"failback": {key: "failback", convert: sub(func() options {
			return join(each(seconds, "tcp_probe_interval"), each(integer, "successful_probes_required"))
		})},
	})
}

func failoverServers(t *translator, c *call) (value, bool) {
	servers, ok := texts(t, c)
	keys := &table{pos: c.pos}
	keys.set("servers", servers, c.pos)
	return keys, ok
}

func unixDestinationOptions() options {
	return join(destinationOptions(), socketOptions(), options{"disk_buffer": diskBuffer},
		leftOut(noTuning, "so_sndbuf", "so_rcvbuf", "so_keepalive"))
}

var addressOption = option{key: "address", convert: text}

var destinationDrivers = sync.OnceValue(func() map[string]driver {
	return map[string]driver{
		"network":     {name: "network", positional: []option{addressOption}, options: networkDestinationOptions()},
		"tcp":         {name: "network", positional: []option{addressOption}, options: networkDestinationOptions(), defaults: []entry{{key: "transport", value: "tcp"}, {key: "port", value: int64(514)}}},
		"udp":         {name: "network", positional: []option{addressOption}, options: networkDestinationOptions(), defaults: []entry{{key: "transport", value: "udp"}}},
		"tcp6":        {name: "network", positional: []option{addressOption}, options: networkDestinationOptions(), defaults: []entry{{key: "transport", value: "tcp"}, {key: "port", value: int64(514)}}},
		"udp6":        {name: "network", positional: []option{addressOption}, options: networkDestinationOptions(), defaults: []entry{{key: "transport", value: "udp"}}},
		"syslog":      {name: "syslog", positional: []option{addressOption}, options: networkDestinationOptions()},
		"unix_dgram":  {name: "unix_dgram", positional: []option{pathOption}, options: unixDestinationOptions()},
		"unix_stream": {name: "unix_stream", positional: []option{pathOption}, options: unixDestinationOptions()},
		"file":        {name: "file", positional: []option{pathOption}, options: join(destinationOptions(), fileOptions())},
		"pipe":        {name: "pipe", positional: []option{pathOption}, options: destinationOptions()},
		"program": {name: "program", positional: []option{{key: "command", convert: text}}, options: join(destinationOptions(), options{
			"keep_alive":          {note: "the program stays over a reload"},
			"inherit_environment": {convert: trueOnly},
		})},
	}
})

// trueOnly leaves out an option that is yes.
func trueOnly(t *translator, c *call) (value, bool) {
	if v, ok := boolean(t, c); ok && v == false {
		t.gap(c.pos, "", "option %s() has no counterpart", dashed(c.name))
	}
	return nil, false
}

func parserOptions() options {
	return each(template, "template")
}

var parserDrivers = sync.OnceValue(func() map[string]driver {
	return map[string]driver{
		"csv_parser": {name: "csv", defaults: []entry{{key: "delimiters", value: " "}}, options: join(parserOptions(), each(texts, "columns"), each(flags, "flags"), each(text, "prefix", "null", "quote_pairs"), options{
			"delimiters":   {convert: delimiters},
			"drop_invalid": {key: "flags", convert: flagIf("drop_invalid")},
			"quotes":       {key: "quote_pairs", convert: quotes},
			"dialect": {key: "flags", convert: func(t *translator, c *call) (value, bool) {
				t.diags.add(Warning, c.pos, "flags() has dialects that work: escape-backslash, escape-double-char",
					"syslog-ng 3.38 loses the value of dialect(), what it does then is escape-none")
				return list{"escape_none", "strip_whitespace"}, true
			}},
		})},
		"kv_parser":     {name: "kv", options: join(parserOptions(), each(text, "prefix", "value_separator", "pair_separator", "extract_stray_words_into"))},
		"json_parser":   {name: "json", options: join(parserOptions(), each(text, "prefix", "marker", "extract_prefix", "key_delimiter"))},
		"regexp_parser": {name: "regexp", options: join(parserOptions(), each(texts, "patterns"), each(flags, "flags"), each(text, "prefix"))},
		"syslog_parser": {name: "syslog", options: join(parserOptions(), each(flags, "flags"), each(boolean, "drop_invalid"), each(text, "time_zone"), options{
			"default_facility": {key: "default_priority", convert: defaultFacility},
			"default_priority": {key: "default_priority", convert: defaultSeverity},
			"default_severity": {key: "default_priority", convert: defaultSeverity},
			"default_level":    {key: "default_priority", convert: defaultSeverity},
		})},
		"tags_parser": {name: "tags", options: parserOptions()},
		"date_parser": {name: "date", options: join(parserOptions(), each(texts, "format"), each(flags, "flags"), each(text, "time_zone", "value"), options{
			"time_stamp": {key: "time_stamp", convert: oneOf(map[string]string{"stamp": "stamp", "recvd": "recvd"})},
		})},
	}
})

// delimiters are characters, or with string() texts.
func delimiters(t *translator, c *call) (value, bool) {
	values, calls := t.arguments(c)
	keys := &table{}
	for _, v := range values {
		keys.set("delimiters", v.text, c.pos)
	}
	for _, inner := range calls {
		switch inner.name {
		case "chars":
			if v, ok := text(t, inner); ok {
				keys.set("delimiters", v, c.pos)
			}
		case "strings":
			if v, ok := texts(t, inner); ok {
				keys.set("string_delimiters", v, c.pos)
			}
		default:
			t.gap(inner.pos, "", "option %s() of delimiters() has no counterpart", dashed(inner.name))
		}
	}
	return keys, true
}

// quotes are pairs of the same character.
func quotes(t *translator, c *call) (value, bool) {
	v, ok := t.single(c)
	if !ok {
		return nil, false
	}
	pairs := ""
	for _, r := range v.text {
		pairs += string(r) + string(r)
	}
	return pairs, true
}

// fieldName is a name of a value, as value() has it.
func fieldName(t *translator, c *call) (value, bool) {
	v, ok := t.single(c)
	if !ok {
		return nil, false
	}
	if name, dollar := strings.CutPrefix(v.text, "$"); dollar {
		t.diags.add(Warning, v.pos, "", "value() takes a name, not a template: the $ is left out")
		return strings.Trim(name, "{}"), true
	}
	return v.text, true
}

func rewriteOptions() options {
	return options{"condition": {key: "condition", convert: condition}}
}

var (
	templateOption = option{key: "template", convert: template}
	zoneOption     = option{key: "zone", convert: text}
	tagOption      = option{key: "tag", convert: text}
)

var rewriteDrivers = sync.OnceValue(func() map[string]driver {
	return map[string]driver{
		"set": {name: "set", positional: []option{templateOption}, options: join(rewriteOptions(), each(fieldName, "value"))},
		"subst": {name: "subst", positional: []option{{key: "pattern", convert: text}, {key: "replacement", convert: template}}, options: join(rewriteOptions(),
			each(fieldName, "value"), each(flags, "flags"), each(text, "type"))},
		"unset":         {name: "unset", options: join(rewriteOptions(), each(fieldName, "value"))},
		"rename":        {name: "rename", positional: []option{{key: "from", convert: text}, {key: "to", convert: text}}, options: rewriteOptions()},
		"groupset":      {name: "groupset", positional: []option{templateOption}, options: join(rewriteOptions(), each(texts, "values"))},
		"groupunset":    {name: "groupunset", options: join(rewriteOptions(), each(texts, "values"))},
		"set_matches":   {name: "set_matches", positional: []option{templateOption}, options: rewriteOptions()},
		"unset_matches": {name: "unset_matches", options: rewriteOptions()},
		"set_tag":       {name: "set_tag", positional: []option{tagOption}, options: rewriteOptions()},
		"clear_tag":     {name: "clear_tag", positional: []option{tagOption}, options: rewriteOptions()},
		"set_pri":       {name: "set_pri", positional: []option{templateOption}, options: rewriteOptions()},
		"set_severity":  {name: "set_severity", positional: []option{templateOption}, options: rewriteOptions()},
		"set_level":     {name: "set_severity", positional: []option{templateOption}, options: rewriteOptions()},
		"set_facility":  {name: "set_facility", positional: []option{templateOption}, options: rewriteOptions()},
		"set_time_zone": {name: "set_time_zone", positional: []option{zoneOption}, options: join(rewriteOptions(), each(text, "time_stamp"))},
		"fix_time_zone": {name: "fix_time_zone", positional: []option{zoneOption}, options: join(rewriteOptions(), each(text, "time_stamp"))},
	}
})

// driversOf are the drivers that a kind of statement may have.
func driversOf(kind string) map[string]driver {
	switch kind {
	case "source":
		return sourceDrivers()
	case "destination":
		return destinationDrivers()
	case "parser":
		return parserDrivers()
	case "rewrite":
		return rewriteDrivers()
	}
	panic(fmt.Sprintf("%s has no drivers", kind))
}

// driver converts one driver.
func (t *translator) driver(kind string, c *call) *table {
	d, ok := driversOf(kind)[c.name]
	if !ok {
		t.gap(c.pos, didYouMean(c.name, driversOf(kind)), "%s driver %s() has no counterpart", kind, dashed(c.name))
		return nil
	}
	t.defaultPriority, t.inline, t.escaped = d.priority, false, false
	dst := &table{pos: c.pos}
	dst.set("driver", d.name, c.pos)
	t.options(dst, c.name, d.options, t.positional(dst, d, c))
	for _, e := range d.defaults {
		if dst.get(e.key) == nil {
			dst.set(e.key, e.value, c.pos)
		}
	}
	t.wildcard(dst)
	return dst
}

// positional converts the values of a driver that have no name and returns its options. A template with its type, int("1"),
// looks like an option and is a value.
func (t *translator) positional(dst *table, d driver, c *call) (options []*call) {
	values, calls := t.arguments(c)
	missing := d.positional
	take := func(pos Pos, args []token) {
		if x, ok := missing[0].convert(t, &call{name: c.name, pos: pos, args: args}); ok {
			dst.set(missing[0].key, x, pos)
		}
		missing = missing[1:]
	}
	for _, v := range values {
		if len(missing) == 0 {
			t.errorf(v.pos, "%v is not wanted in %s()", v, dashed(c.name))
			break
		}
		take(v.pos, []token{*v})
	}
	for _, inner := range calls {
		if _, known := d.options[inner.name]; known || len(missing) == 0 {
			options = append(options, inner)
			continue
		}
		typed := append([]token{*inner.head, {kind: punct, text: "("}}, inner.args...)
		take(inner.pos, append(typed, token{kind: punct, text: ")"}))
	}
	for _, o := range missing {
		t.errorf(c.pos, "%s() needs its %s", dashed(c.name), o.key)
	}
	return options
}

// wildcard joins base-dir() and filename-pattern() of wildcard-file().
func (t *translator) wildcard(dst *table) {
	dir, _ := dst.get("base_dir").(string)
	pattern, _ := dst.get("filename_pattern").(string)
	if dir == "" {
		return
	}
	var rest []entry
	for _, e := range dst.entries {
		switch e.key {
		case "base_dir":
			e.key, e.value = "path", strings.TrimSuffix(dir, "/")+"/"+pattern
			rest = append(rest, e)
		case "filename_pattern":
		default:
			rest = append(rest, e)
		}
	}
	dst.entries = rest
}
