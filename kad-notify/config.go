package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"net/netip"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"kad/kad-notify/internal/bgp"
	"kad/pkg/conf"
	"kad/pkg/keepalived"
)

const (
	defaultConfig   = "/etc/kad/notify.toml"
	defaultStateDir = "/var/lib/kad/notify"
)

// config is what notify.toml means.
type config struct {
	StateDir string
	Hooks    []*hook // in the file's order
	BGP      *bgpSettings
}

// file is notify.toml as written.
type file struct {
	StateDir string              `toml:"state_dir"`
	BGP      fileBGP             `toml:"bgp"`
	Hook     map[string]fileHook `toml:"hook"`
}

type fileBGP struct {
	Target      string      `toml:"target"`
	TLS         *fileTLS    `toml:"tls"`
	NextHop     *netip.Addr `toml:"next_hop"`
	NextHopIPv6 *netip.Addr `toml:"next_hop_ipv6"`
	Communities []community `toml:"communities"`
	MED         *med        `toml:"med"`
}

type fileTLS struct {
	CAFile     string `toml:"ca_file"`
	CertFile   string `toml:"cert_file"`
	KeyFile    string `toml:"key_file"`
	ServerName string `toml:"server_name"`
}

type fileHook struct {
	Kind     string    `toml:"kind"`
	Instance []string  `toml:"instance"`
	Group    []string  `toml:"group"`
	State    []string  `toml:"state"`
	From     []string  `toml:"from"`
	Required bool      `toml:"required"`
	Timeout  *duration `toml:"timeout"`

	Unit    string            `toml:"unit"`
	Action  string            `toml:"action"`
	Command []string          `toml:"command"`
	URL     string            `toml:"url"`
	Headers map[string]string `toml:"headers"`
	CAFile  string            `toml:"ca_file"`
	Retries *int              `toml:"retries"`
	File    string            `toml:"file"`
}

// kinds are the kinds of hooks, with the keys of their own and how long one may take unless it
// says so.
var kinds = map[string]struct {
	keys    []string
	needs   []string
	timeout time.Duration
}{
	"unit":       {[]string{"unit", "action"}, []string{"unit", "action"}, 30 * time.Second},
	"exec":       {[]string{"command"}, []string{"command"}, 30 * time.Second},
	"webhook":    {[]string{"url", "headers", "ca_file", "retries"}, []string{"url"}, 10 * time.Second},
	"state_file": {[]string{"file"}, []string{"file"}, 5 * time.Second},
	"bgp":        {nil, nil, 5 * time.Second},
}

// transitions are the states that an instance enters, the default of "state".
var transitions = []keepalived.State{keepalived.Master, keepalived.Backup, keepalived.Fault, keepalived.Stop, keepalived.Deleted}

// further are words of the FIFO that are no transitions.
var further = []keepalived.State{keepalived.MasterRxLowerPri, keepalived.MasterPriority, keepalived.BackupPriority}

// loadConfig reads notify.toml. Without one there are no hooks, unless it was asked for.
func loadConfig(name string, asked bool) (*config, error) {
	if err := keepalived.Secure(name); errors.Is(err, fs.ErrNotExist) && !asked {
		return &config{StateDir: defaultStateDir}, nil
	} else if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return parseConfig(name, data)
}

func parseConfig(name string, data []byte) (*config, error) {
	written := file{StateDir: defaultStateDir}
	f, err := conf.Decode(name, data, &written)
	if slices.ContainsFunc(f.Errors(), func(e *conf.Error) bool { return e.Msg != "no such key" }) {
		return nil, err // decoding has ended there
	}
	c := &configurer{File: f, written: written}
	c.absolute("state_dir", written.StateDir)
	cfg := &config{StateDir: written.StateDir, BGP: c.bgp()}
	for _, p := range f.Paths() {
		if name, ok := strings.CutPrefix(p, "hook."); ok {
			if h, ok := c.hook(p, name, cfg.BGP); ok {
				cfg.Hooks = append(cfg.Hooks, h)
			}
		}
	}
	if err := f.Err(); err != nil {
		return nil, err
	}
	return cfg, nil
}

// configurer turns a file into a config and reports what is wrong with it.
type configurer struct {
	*conf.File
	written file
	seen    []string
}

// hook returns the hook of the table at path; ok is false when path is none.
func (c *configurer) hook(at, key string, settings *bgpSettings) (h *hook, ok bool) {
	name, w := c.named(key)
	if w == nil || slices.Contains(c.seen, name) {
		return nil, false
	}
	c.seen = append(c.seen, name)
	kind, known := kinds[w.Kind]
	switch {
	case w.Kind == "":
		c.Errorf(at, "there is no kind, want %s", oneOf(slices.Sorted(maps.Keys(kinds))))
		return nil, false
	case !known:
		all := slices.Sorted(maps.Keys(kinds))
		c.Hintf(at+".kind", conf.DidYouMean(w.Kind, all), "found %q, want %s", w.Kind, oneOf(all))
		return nil, false
	}
	c.foreignKeys(at, w.Kind)
	for _, key := range kind.needs {
		if !c.Has(at + "." + key) {
			c.Errorf(at, "there is no %s, which a hook of kind %s needs", key, w.Kind)
		}
	}
	h = &hook{Name: name, Kind: w.Kind, Required: w.Required, Timeout: kind.timeout, Instances: w.Instance, Groups: w.Group}
	if w.Timeout != nil {
		h.Timeout = time.Duration(*w.Timeout)
	}
	c.patterns(at+".instance", w.Instance)
	c.patterns(at+".group", w.Group)
	if len(w.Instance)+len(w.Group) == 0 {
		h.Instances = []string{"*"}
	}
	c.states(at, w, h)
	h.action = c.action(at, w, settings)
	return h, true
}

// named returns the name of the hook whose table has that key, and what is written in it.
func (c *configurer) named(key string) (string, *fileHook) {
	for name, w := range c.written.Hook {
		if conf.Key(name) == key {
			return name, &w
		}
	}
	return "", nil
}

// foreignKeys reports keys that belong to hooks of another kind.
func (c *configurer) foreignKeys(at, kind string) {
	for _, other := range slices.Sorted(maps.Keys(kinds)) {
		for _, key := range kinds[other].keys {
			if c.Has(at+"."+key) && !slices.Contains(kinds[kind].keys, key) {
				c.Errorf(at+"."+key, "this is a key of kind %s, not of %s", other, kind)
			}
		}
	}
}

func (c *configurer) patterns(at string, patterns []string) {
	for i, p := range patterns {
		if _, err := path.Match(p, ""); err != nil || p == "" {
			c.Errorf(fmt.Sprintf("%s[%d]", at, i), "%q is not a pattern such as VI_* or loghost0[12]", p)
		}
	}
}

// states takes over which states a hook is for.
func (c *configurer) states(at string, w *fileHook, h *hook) {
	if w.Kind == "bgp" {
		for _, key := range []string{"state", "from"} {
			if c.Has(at + "." + key) {
				c.Errorf(at+"."+key, "a hook of kind bgp announces on MASTER and withdraws on everything else, so it takes no states")
			}
		}
		h.States = slices.Concat(transitions, further)
		return
	}
	h.States = c.stateList(at+".state", w.State, slices.Concat(transitions, further))
	if len(w.State) == 0 {
		h.States = transitions
	}
	h.From = c.stateList(at+".from", w.From, transitions)
}

func (c *configurer) stateList(at string, words []string, allowed []keepalived.State) (states []keepalived.State) {
	var names []string
	for _, s := range allowed {
		names = append(names, string(s))
	}
	for i, word := range words {
		if !slices.Contains(names, word) {
			hint := conf.DidYouMean(strings.ToUpper(word), names)
			if slices.Contains(names, strings.ToUpper(word)) {
				hint = "did you mean " + strings.ToUpper(word) + "?"
			}
			c.Hintf(fmt.Sprintf("%s[%d]", at, i), hint, "found %q, want %s", word, oneOf(names))
		}
		states = append(states, keepalived.State(word))
	}
	return states
}

func (c *configurer) action(at string, w *fileHook, settings *bgpSettings) action {
	switch w.Kind {
	case "unit":
		if w.Action != "" && unitCalls[w.Action] == nil {
			all := slices.Sorted(maps.Keys(unitCalls))
			c.Hintf(at+".action", conf.DidYouMean(w.Action, all), "found %q, want %s", w.Action, oneOf(all))
		}
		return &unitAction{Unit: unitName(w.Unit), Action: w.Action}
	case "exec":
		if len(w.Command) > 0 {
			c.absolute(at+".command[0]", w.Command[0])
		} else if c.Has(at + ".command") {
			c.Errorf(at+".command", `is empty, want ["/path/of/program", "argument", ...]`)
		}
		return &execAction{Command: w.Command}
	case "webhook":
		return c.webhook(at, w)
	case "state_file":
		if w.File != "" {
			c.absolute(at+".file", w.File)
		}
		return &stateFileAction{File: w.File}
	}
	return &bgpAction{settings}
}

func (c *configurer) webhook(at string, w *fileHook) action {
	// The address may hold a secret, so it is not repeated.
	u, err := url.Parse(w.URL)
	if w.URL != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
		c.Errorf(at+".url", "is not a URL such as https://alerts.example.com/kad")
		u = nil
	}
	a := &webhookAction{URL: u, Headers: w.Headers, CAFile: w.CAFile, Retries: 3}
	if w.Retries != nil {
		a.Retries = *w.Retries
	}
	if a.Retries < 0 || a.Retries > 100 {
		c.Errorf(at+".retries", "found %d, want 0 to 100", a.Retries)
	}
	if w.CAFile != "" {
		c.absolute(at+".ca_file", w.CAFile)
	}
	return a
}

func (c *configurer) bgp() *bgpSettings {
	w := c.written.BGP
	s := &bgpSettings{Options: bgp.Options{Target: w.Target}, MED: w.MED}
	if w.Target != "" && !isTarget(w.Target) {
		c.Errorf("bgp.target", "found %q, want HOST:PORT or unix:///PATH", w.Target)
	}
	if t := w.TLS; t != nil {
		s.Options.TLS = &bgp.TLS{CAFile: t.CAFile, CertFile: t.CertFile, KeyFile: t.KeyFile, ServerName: t.ServerName}
		for key, file := range map[string]string{"ca_file": t.CAFile, "cert_file": t.CertFile, "key_file": t.KeyFile} {
			if file != "" {
				c.absolute("bgp.tls."+key, file)
			}
		}
		if (t.CertFile == "") != (t.KeyFile == "") {
			c.Errorf("bgp.tls", "cert_file and key_file go together")
		}
	}
	s.NextHop = c.nextHop("bgp.next_hop", w.NextHop, netip.Addr.Is4, "an IPv4 address")
	s.NextHopIPv6 = c.nextHop("bgp.next_hop_ipv6", w.NextHopIPv6, netip.Addr.Is6, "an IPv6 address")
	for _, each := range w.Communities {
		s.Communities = append(s.Communities, uint32(each))
	}
	return s
}

// isTarget keeps out gRPC's other resolvers, such as dns:///.
func isTarget(target string) bool {
	if path, ok := strings.CutPrefix(target, "unix://"); ok {
		return filepath.IsAbs(path)
	}
	i := strings.LastIndexByte(target, ':')
	if i < 1 || strings.Contains(target, "/") {
		return false
	}
	port, err := strconv.ParseUint(target[i+1:], 10, 16)
	return err == nil && port > 0
}

func (c *configurer) nextHop(at string, addr *netip.Addr, fits func(netip.Addr) bool, want string) netip.Addr {
	if addr == nil {
		return netip.Addr{}
	}
	if !fits(*addr) || addr.IsUnspecified() || addr.Zone() != "" || addr.Is4In6() {
		c.Errorf(at, "found %s, want %s", addr, want)
	}
	return *addr
}

func (c *configurer) absolute(at, file string) {
	if !filepath.IsAbs(file) {
		c.Errorf(at, "%q is not an absolute path", file)
	}
}

// duration is how long something may take, as Go writes it: 500ms, 5s, 2m.
type duration time.Duration

func (d *duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil || v <= 0 || v > time.Hour {
		return fmt.Errorf("%q is not a time such as 500ms or 5s, above 0 and up to 1h", text)
	}
	*d = duration(v)
	return nil
}

// community is one of RFC 1997, AS:VALUE, or the name of a well-known one.
type community uint32

var wellKnown = map[string]community{
	"no-export": 0xffffff01, "no-advertise": 0xffffff02, "no-export-subconfed": 0xffffff03, // RFC 1997
	"graceful-shutdown": 0xffff0000, // RFC 8326
	"blackhole":         0xffff029a, // RFC 7999
}

func (c *community) UnmarshalText(text []byte) error {
	if known, ok := wellKnown[string(text)]; ok {
		*c = known
		return nil
	}
	as, value, ok := strings.Cut(string(text), ":")
	high, err := strconv.ParseUint(as, 10, 16)
	low, err2 := strconv.ParseUint(value, 10, 16)
	if !ok || err != nil || err2 != nil {
		return fmt.Errorf("%q is not a community such as 64512:100 or no-export", text)
	}
	*c = community(high<<16 | low)
	return nil
}

// med is a fixed MULTI_EXIT_DISC, or one that goes down as the priority goes up.
type med struct {
	fixed      uint32
	byPriority bool
}

// UnmarshalTOML takes a number or the word "priority".
func (m *med) UnmarshalTOML(v any) error {
	switch v := v.(type) {
	case string:
		m.byPriority = true
		if v == "priority" {
			return nil
		}
	case int64:
		m.fixed = uint32(v)
		if v >= 0 && v <= math.MaxUint32 {
			return nil
		}
	}
	return fmt.Errorf(`found %v, want a number from 0 to %d, or "priority"`, v, uint32(math.MaxUint32))
}

// oneOf joins words as in "start, stop or reload".
func oneOf(words []string) string {
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
