package keepalived

import (
	"errors"
	"slices"
)

// A confKeyword is what a block of keepalived.conf knows (keepalived's install_keyword).
// It decides how the lines behind it nest: those of a value block belong to run, those of
// a sub block are keywords of their own. An unknown keyword has no block, so the brace
// behind it is skipped and the closing one ends the block around it.
type confKeyword struct {
	run  func(*confBuilder, confLine) // nil: nothing to do
	sub  map[string]confKeyword
	end  func(*confBuilder) // at the end of the sub block
	skip bool               // another process's block: braces are only counted
}

type confLine struct {
	text  string
	words []string // at least one
	pos   Pos
}

// A confBuilder makes a Config of the lines of a reader, as keepalived's parent and VRRP
// processes together do (lib/parser.c process_stream; vrrp/vrrp_parser.c).
type confBuilder struct {
	*confReader
	config Config

	instance *confInstance // the last one: where the keywords of its block go
	group    *ConfigGroup
	script   *ConfigScript
	file     *ConfigFile

	instances []*confInstance
	groups    []*ConfigGroup
	processes map[string]ConfigTrack // vrrp_track_process and bfd_instance: weights
	bfds      map[string]ConfigTrack
	tracker   *ConfigTrack // the one whose block it is

	strict     bool // vrrp_strict
	version    int  // vrrp_version
	vmacPrefix string

	skipping int // braces open in what is skipped; confWaitBrace: it begins with the next line, if that is a brace
}

const confWaitBrace = -1

// A confInstance is a vrrp_instance block before its defaults are applied.
type confInstance struct {
	ConfigInstance
	strict   *bool
	version  int
	family   int // 4 or 6, by the first address of the block; 0 before that
	vmac     bool
	ah       bool // auth_type AH
	password bool
}

func readConfig(r *confReader) (*Config, error) {
	b := &confBuilder{
		confReader: r,
		instance:   &confInstance{}, group: &ConfigGroup{}, script: &ConfigScript{}, file: &ConfigFile{},
		processes: map[string]ConfigTrack{}, bfds: map[string]ConfigTrack{}, tracker: &ConfigTrack{},
		version: 2, vmacPrefix: "vrrp",
	}
	b.block(confRoot, true, false)
	if len(r.errs) > 0 {
		return nil, errors.Join(r.errs...)
	}
	b.finish()
	return &b.config, nil
}

// line returns the next line that has a word.
func (b *confBuilder) line() (confLine, bool) {
	for {
		text, ok := b.next()
		if !ok {
			return confLine{}, false
		}
		if words := confWords(text); len(words) > 0 {
			return confLine{text, words, b.pos()}, true
		}
	}
}

// block reads lines up to the brace that ends the block, at the root up to the end.
// Complete is false when the block was skipped.
func (b *confBuilder) block(keywords map[string]confKeyword, root, needBrace bool) (complete bool) {
	for {
		l, ok := b.line()
		if !ok {
			return true
		}
		word := l.words[0]
		if b.skipping == confWaitBrace {
			if word == "{" {
				b.skipping, needBrace = 1, false
				continue
			}
			b.skipping = 0
		}
		if b.skipping > 0 {
			if b.skip(l.words) && !root {
				return false
			}
			continue
		}
		switch {
		case word == "{" && (root || !needBrace):
			continue
		case word == "{":
			needBrace = false
			continue
		case word == "}" && !root:
			return true
		}
		needBrace = false
		k, known := keywords[word]
		if !known {
			continue
		}
		if k.skip {
			b.skipping = confWaitBrace
			continue
		}
		if k.run != nil {
			k.run(b, l)
		}
		if k.sub != nil && b.block(k.sub, false, true) && k.end != nil {
			k.end(b)
		}
	}
}

// skip counts the braces of a skipped line; true for the one that ends it.
func (b *confBuilder) skip(words []string) (ended bool) {
	for _, w := range words {
		switch w {
		case "{":
			b.skipping++
		case "}":
			if b.skipping--; b.skipping == 0 {
				return true
			}
		}
	}
	return false
}

// values reads the lines of a value block.
func (b *confBuilder) values(each func(confLine)) {
	needBrace := true
	for {
		l, ok := b.line()
		if !ok {
			return
		}
		if needBrace && l.words[0] == "{" {
			l.words = l.words[1:]
		}
		needBrace = false
		last := len(l.words) - 1
		closed := last >= 0 && l.words[last] == "}"
		if closed {
			l.words = l.words[:last]
		}
		if len(l.words) > 0 {
			each(l)
		}
		if closed {
			return
		}
	}
}

// param returns the i-th word behind the keyword. keepalived exits when it is missing.
func (b *confBuilder) param(l confLine, i int) (string, bool) {
	if i < len(l.words) {
		return l.words[i], true
	}
	b.fail(l.pos, nil, "%s has no value: keepalived does not start with that", l.words[0])
	return "", false
}

// confWord is a keyword whose first parameter is kept; the last line of several counts.
func confWord(field func(*confBuilder) *string) confKeyword {
	return confKeyword{run: func(b *confBuilder, l confLine) {
		if len(l.words) > 1 {
			*field(b) = l.words[1]
		}
	}}
}

// confFirst is one of which the first line counts.
func confFirst(field func(*confBuilder) *string) confKeyword {
	return confKeyword{run: func(b *confBuilder, l confLine) {
		if p := field(b); len(l.words) > 1 && *p == "" {
			*p = l.words[1]
		}
	}}
}

// confFlag is a keyword that is true alone and may be followed by on, off, true, false, yes or no.
func confFlag(set func(*confBuilder, bool)) confKeyword {
	return confKeyword{run: func(b *confBuilder, l confLine) {
		word := "on"
		if len(l.words) > 1 {
			word = l.words[1]
		}
		switch word {
		case "on", "true", "yes":
			set(b, true)
		case "off", "false", "no":
			set(b, false)
		}
	}}
}

// confIgnored is a value block that says nothing we need.
var confIgnored = confKeyword{run: func(b *confBuilder, _ confLine) { b.values(func(confLine) {}) }}

var confRoot = map[string]confKeyword{
	"global_defs":              {sub: confGlobals},
	"instance":                 confFirst(func(b *confBuilder) *string { return &b.config.InstanceName }),
	"net_namespace":            confFirst(func(b *confBuilder) *string { return &b.config.NetNamespace }),
	"vrrp_instance":            {run: (*confBuilder).newInstance, sub: confInstanceBlock},
	"vrrp_sync_group":          {run: (*confBuilder).newGroup, sub: confGroupBlock},
	"vrrp_script":              {run: (*confBuilder).newScript, sub: confScriptBlock, end: (*confBuilder).endScript},
	"track_file":               {run: (*confBuilder).newFile, sub: confFileBlock, end: (*confBuilder).endFile},
	"vrrp_track_file":          {run: (*confBuilder).newFile, sub: confFileBlock, end: (*confBuilder).endFile},
	"vrrp_track_process":       confTracker(func(b *confBuilder) map[string]ConfigTrack { return b.processes }),
	"bfd_instance":             confTracker(func(b *confBuilder) map[string]ConfigTrack { return b.bfds }),
	"track_group":              {sub: map[string]confKeyword{"group": confIgnored}},
	"garp_group":               {sub: map[string]confKeyword{"interfaces": confIgnored}},
	"static_ipaddress":         confIgnored,
	"static_routes":            confIgnored,
	"static_rules":             confIgnored,
	"linkbeat_interfaces":      confIgnored,
	"interface_up_down_delays": confIgnored,
	"virtual_server":           {skip: true},
	"virtual_server_group":     {skip: true},
	"SSL":                      {skip: true},
}

var confGlobals = map[string]confKeyword{
	"notification_email":      confIgnored,
	"enable_script_security":  {run: func(b *confBuilder, _ confLine) { b.config.ScriptSecurity = true }},
	"script_user":             {run: func(b *confBuilder, l confLine) { b.config.ScriptUser, b.config.ScriptGroup = confUser(l.words, 1) }},
	"dynamic_interfaces":      {run: func(b *confBuilder, _ confLine) { b.config.DynamicInterface = true }},
	"data_use_instance":       confFlag(func(b *confBuilder, on bool) { b.config.DataUseInstance = on }),
	"state_dump_file":         confWord(func(b *confBuilder) *string { return &b.config.StateDumpFile }),
	"vrrp_strict":             {run: func(b *confBuilder, _ confLine) { b.strict = true }},
	"vmac_prefix":             confWord(func(b *confBuilder) *string { return &b.vmacPrefix }),
	"vrrp_version":            {run: func(b *confBuilder, l confLine) { b.setNumber(&b.version, l, 2, 3) }},
	"notify_fifo":             confFIFO,
	"notify_fifo_script":      confNotify(func(b *confBuilder) *[]ConfigNotify { return &b.config.Notify }),
	"vrrp_notify_fifo":        confFIFO,
	"vrrp_notify_fifo_script": confNotify(func(b *confBuilder) *[]ConfigNotify { return &b.config.Notify }),
}

// confUser returns the USER [GROUP] that stand at words[i:].
func confUser(words []string, i int) (user, group string) {
	if i < len(words) {
		user = words[i]
	}
	if i+1 < len(words) {
		group = words[i+1]
	}
	return user, group
}

// setNumber keeps the first parameter if it is a number from low to high.
func (b *confBuilder) setNumber(to *int, l confLine, low, high int) {
	if word, ok := b.param(l, 1); ok {
		if n, ok := confNumber(word, low, high, true); ok {
			*to = n
		}
	}
}

var confFIFO = confKeyword{run: func(b *confBuilder, l confLine) {
	if len(l.words) < 2 || confHasNotify(b.config.Notify, l.words[0]) {
		return
	}
	n := ConfigNotify{Keyword: l.words[0], Pos: l.pos, Command: l.words[1]}
	n.User, n.Group = confUser(l.words, 2)
	b.config.Notify = append(b.config.Notify, n)
}}

// confNotify is "KEYWORD COMMAND [USER [GROUP]]"; the command is a word with its arguments
// in it. Of several with one keyword the first counts.
func confNotify(to func(*confBuilder) *[]ConfigNotify) confKeyword {
	return confKeyword{run: func(b *confBuilder, l confLine) {
		list := to(b)
		if confHasNotify(*list, l.words[0]) || l.words[0] == "notify_deleted" && len(l.words) == 1 {
			return
		}
		if _, ok := b.param(l, 1); !ok {
			return
		}
		if command, argv, words := b.command(l); argv != nil {
			n := ConfigNotify{Keyword: l.words[0], Pos: l.pos, Command: command, Argv: argv}
			n.User, n.Group = confUser(words, 2)
			*list = append(*list, n)
		}
	}}
}

func confHasNotify(list []ConfigNotify, keyword string) bool {
	return slices.ContainsFunc(list, func(n ConfigNotify) bool { return n.Keyword == keyword })
}

// command reads the script of a line: its second word, split again into arguments.
// argv is nil if there is none that keepalived understands.
func (b *confBuilder) command(l confLine) (command string, argv, words []string) {
	words, ok := confArgs(l.text)
	if !ok || len(words) < 2 {
		return "", nil, nil
	}
	argv, _ = confArgs(words[1])
	return words[1], argv, words
}

func (b *confBuilder) newScript(l confLine) {
	if name, ok := b.param(l, 1); ok {
		b.script = &ConfigScript{Name: name, Pos: l.pos}
	}
}

func (b *confBuilder) endScript() {
	if b.script.Argv != nil {
		b.config.Scripts = append(b.config.Scripts, *b.script)
	}
}

var confScriptBlock = map[string]confKeyword{
	"script": {run: func(b *confBuilder, l confLine) { b.script.Command, b.script.Argv, _ = b.command(l) }},
	"user":   {run: func(b *confBuilder, l confLine) { b.script.User, b.script.Group = confUser(l.words, 1) }},
	"weight": {run: func(b *confBuilder, l confLine) {
		if word, ok := b.param(l, 1); ok {
			b.script.Weight, _ = confNumber(word, -253, 253, true) // keepalived also takes one out of range
			b.script.Reverse = b.script.Reverse || slices.Contains(l.words[2:], "reverse")
		}
	}},
}

func (b *confBuilder) newFile(l confLine) {
	if name, ok := b.param(l, 1); ok {
		b.file = &ConfigFile{Name: name, Pos: l.pos, Weight: 1}
	}
}

func (b *confBuilder) endFile() {
	if b.file.File != "" {
		b.config.Files = append(b.config.Files, *b.file)
	}
}

var confFileBlock = map[string]confKeyword{
	"file": confFirst(func(b *confBuilder) *string { return &b.file.File }),
	"weight": {run: func(b *confBuilder, l confLine) {
		if len(l.words) < 2 || b.file.Weight != 1 {
			return
		}
		if n, ok := confNumber(l.words[1], -254, 254, true); ok {
			b.file.Weight = n
		}
		b.file.Reverse = slices.Contains(l.words[2:], "reverse")
	}},
}

// confTracker is a block of which we keep only that it is there, and its weight.
func confTracker(of func(*confBuilder) map[string]ConfigTrack) confKeyword {
	return confKeyword{
		run: func(b *confBuilder, l confLine) {
			if name, ok := b.param(l, 1); ok {
				b.tracker = &ConfigTrack{Name: name}
			}
		},
		sub: map[string]confKeyword{"weight": {run: func(b *confBuilder, l confLine) {
			b.setNumber(&b.tracker.Weight, l, -254, 254)
			b.tracker.Reverse = len(l.words) > 2 && l.words[2] == "reverse"
		}}},
		end: func(b *confBuilder) {
			if t := *b.tracker; of(b)[t.Name].Name == "" {
				of(b)[t.Name] = t
			}
		},
	}
}

func (b *confBuilder) newGroup(l confLine) {
	if len(l.words) != 2 || slices.ContainsFunc(b.groups, func(g *ConfigGroup) bool { return g.Name == l.words[1] }) {
		b.skipping = confWaitBrace
		return
	}
	b.group = &ConfigGroup{Name: l.words[1], Pos: l.pos}
	b.groups = append(b.groups, b.group)
}

var confGroupBlock = map[string]confKeyword{
	"group": {run: func(b *confBuilder, l confLine) {
		if b.group.Members != nil {
			b.skipping = confWaitBrace
			return
		}
		b.values(func(l confLine) { b.group.Members = append(b.group.Members, l.words...) })
	}},
	"track_script":    confTracks((*confBuilder).scriptTracker, func(b *confBuilder) *[]ConfigTrack { return &b.group.TrackScripts }),
	"track_file":      confTracks((*confBuilder).fileTracker, func(b *confBuilder) *[]ConfigTrack { return &b.group.TrackFiles }),
	"track_interface": confTracks((*confBuilder).interfaceTracker, func(b *confBuilder) *[]ConfigTrack { return &b.group.TrackInterfaces }),
	"track_process":   confTracks((*confBuilder).processTracker, func(b *confBuilder) *[]ConfigTrack { return &b.group.TrackProcesses }),
	"track_bfd":       confTracks((*confBuilder).bfdTracker, func(b *confBuilder) *[]ConfigTrack { return &b.group.TrackBFDs }),
	"notify":          confGroupNotify,
	"notify_master":   confGroupNotify,
	"notify_backup":   confGroupNotify,
	"notify_fault":    confGroupNotify,
	"notify_stop":     confGroupNotify,
}

var confGroupNotify = confNotify(func(b *confBuilder) *[]ConfigNotify { return &b.group.Notify })

// confTracks is a block of lines "NAME [weight N [reverse|noreverse]]". Defaults come from the
// tracker of that name, which must stand above.
func confTracks(tracker func(*confBuilder, string) (ConfigTrack, bool), to func(*confBuilder) *[]ConfigTrack) confKeyword {
	return confKeyword{run: func(b *confBuilder, _ confLine) {
		b.values(func(l confLine) {
			list := to(b)
			name := l.words[0]
			if slices.ContainsFunc(*list, func(t ConfigTrack) bool { return t.Name == name }) {
				return
			}
			t, known := tracker(b, name)
			t.Name, t.Pos, t.Unknown = name, l.pos, !known
			if len(l.words) == 2 || len(l.words) > 2 && l.words[1] != "weight" {
				return // keepalived drops the whole line
			}
			if len(l.words) > 2 {
				if n, ok := confNumber(l.words[2], -254, 254, true); ok {
					t.Weight = max(-253, min(n, 253))
				}
			}
			if len(l.words) > 3 {
				t.Reverse = l.words[3] == "reverse" || t.Reverse && l.words[3] != "noreverse"
			}
			*list = append(*list, t)
		})
	}}
}

func (b *confBuilder) scriptTracker(name string) (ConfigTrack, bool) {
	if s := b.config.Script(name); s != nil {
		return ConfigTrack{Weight: s.Weight, Reverse: s.Reverse}, true
	}
	return ConfigTrack{}, false
}

func (b *confBuilder) fileTracker(name string) (ConfigTrack, bool) {
	for _, f := range b.config.Files {
		if f.Name == name {
			return ConfigTrack{Weight: f.Weight, Reverse: f.Reverse}, true
		}
	}
	return ConfigTrack{}, false
}

func (b *confBuilder) interfaceTracker(string) (ConfigTrack, bool) { return ConfigTrack{}, true }

func (b *confBuilder) processTracker(name string) (ConfigTrack, bool) {
	t, ok := b.processes[name]
	return t, ok
}

func (b *confBuilder) bfdTracker(name string) (ConfigTrack, bool) {
	t, ok := b.bfds[name]
	return t, ok
}

// newInstance: keepalived skips a block without a name, or with one that is taken.
func (b *confBuilder) newInstance(l confLine) {
	if len(l.words) != 2 || slices.ContainsFunc(b.instances, func(in *confInstance) bool { return in.Name == l.words[1] }) {
		b.skipping = confWaitBrace
		return
	}
	b.instance = &confInstance{ConfigInstance: ConfigInstance{Name: l.words[1], Pos: l.pos}}
	b.instances = append(b.instances, b.instance)
}

var confInstanceBlock = map[string]confKeyword{
	"state":                      {run: (*confBuilder).setState},
	"interface":                  {run: (*confBuilder).setInterface},
	"virtual_router_id":          {run: (*confBuilder).setVRID},
	"priority":                   {run: (*confBuilder).setPriority},
	"version":                    {run: (*confBuilder).setVersion},
	"strict_mode":                confFlag(func(b *confBuilder, on bool) { b.instance.strict = &on }),
	"use_vmac":                   {run: (*confBuilder).useVMAC},
	"use_ipvlan":                 {run: (*confBuilder).useIPVLAN},
	"native_ipv6":                {run: func(b *confBuilder, _ confLine) { b.nativeIPv6() }},
	"unicast_src_ip":             {run: func(b *confBuilder, l confLine) { b.setFamily(l, 1) }},
	"mcast_src_ip":               {run: func(b *confBuilder, l confLine) { b.setFamily(l, 1) }},
	"mcast_dst_ip":               {run: func(b *confBuilder, l confLine) { b.setFamily(l, 1) }},
	"unicast_peer":               {run: func(b *confBuilder, _ confLine) { b.values(func(l confLine) { b.setFamily(l, 0) }) }},
	"virtual_ipaddress":          {run: func(b *confBuilder, _ confLine) { b.values(b.vip) }},
	"virtual_ipaddress_excluded": {run: func(b *confBuilder, _ confLine) { b.values(b.excludedVIP) }},
	"virtual_routes":             confIgnored,
	"virtual_rules":              confIgnored,
	"authentication":             {sub: confAuthentication},
	"auth_hmac":                  {sub: map[string]confKeyword{}},
	"track_script":               confTracks((*confBuilder).scriptTracker, func(b *confBuilder) *[]ConfigTrack { return &b.instance.TrackScripts }),
	"track_file":                 confTracks((*confBuilder).fileTracker, func(b *confBuilder) *[]ConfigTrack { return &b.instance.TrackFiles }),
	"track_interface":            confTracks((*confBuilder).interfaceTracker, func(b *confBuilder) *[]ConfigTrack { return &b.instance.TrackInterfaces }),
	"track_process":              confTracks((*confBuilder).processTracker, func(b *confBuilder) *[]ConfigTrack { return &b.instance.TrackProcesses }),
	"track_bfd":                  confTracks((*confBuilder).bfdTracker, func(b *confBuilder) *[]ConfigTrack { return &b.instance.TrackBFDs }),
	"notify":                     confInstanceNotify,
	"notify_master":              confInstanceNotify,
	"notify_backup":              confInstanceNotify,
	"notify_fault":               confInstanceNotify,
	"notify_stop":                confInstanceNotify,
	"notify_deleted":             confInstanceNotify,
	"notify_master_rx_lower_pri": confInstanceNotify,
}

var confInstanceNotify = confNotify(func(b *confBuilder) *[]ConfigNotify { return &b.instance.Notify })

var confAuthentication = map[string]confKeyword{
	"auth_type": {run: func(b *confBuilder, l confLine) {
		switch kind, _ := b.param(l, 1); kind {
		case "AH":
			b.instance.ah = true
		case "PASS":
			b.instance.ah = false
		}
	}},
	"auth_pass": {run: func(b *confBuilder, l confLine) {
		password, _ := b.param(l, 1)
		b.instance.password = password != ""
	}},
}
