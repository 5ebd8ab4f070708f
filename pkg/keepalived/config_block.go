package keepalived

import (
	"errors"
	"math"
	"slices"
	"strconv"
	"time"
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
	seen      map[confName]bool        // names that a second block or line may not have
	trackers  map[confName]ConfigTrack // the trackers defined so far, with their weights
	tracker   ConfigTrack              // the last process or BFD
	vmacs     map[int]int              // by VRID the last number in a default VMAC name

	strict     bool // vrrp_strict
	version    int  // vrrp_version
	vmacPrefix string

	skipping int // braces open in what is skipped
}

// confWaitBrace as skipping: what is skipped begins with the next line, if that is a brace.
const confWaitBrace = -1

// A confName is a name and what it is a name of: a keyword, or one list.
type confName struct {
	of   any
	name string
}

// first tells whether name is new among those of the kind, and takes it.
func (b *confBuilder) first(of any, name string) bool {
	key := confName{of, name}
	if b.seen[key] {
		return false
	}
	b.seen[key] = true
	return true
}

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
		seen: map[confName]bool{}, trackers: map[confName]ConfigTrack{}, vmacs: map[int]int{},
		version: 2,
	}
	b.block(confRoot(), true)
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
func (b *confBuilder) block(keywords map[string]confKeyword, root bool) (complete bool) {
	for {
		l, ok := b.line()
		if !ok {
			return true
		}
		word := l.words[0]
		if b.skipping == confWaitBrace {
			b.skipping = 0
			if word == "{" {
				b.skipping = 1
				continue
			}
		}
		switch {
		case b.skipping > 0:
			if b.skip(l.words) && !root {
				return false
			}
		case word == "{": // of this block, or of an unknown keyword
		case word == "}" && !root:
			return true
		default:
			b.run(keywords[word], l)
		}
	}
}

func (b *confBuilder) run(k confKeyword, l confLine) {
	if k.skip {
		b.skipping = confWaitBrace
	}
	if k.run != nil {
		k.run(b, l)
	}
	if k.sub != nil && b.block(k.sub, false) && k.end != nil {
		k.end(b)
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
	for first := true; ; first = false {
		l, ok := b.line()
		switch {
		case !ok || l.words[0] == "}":
			return
		case first && l.words[0] == "{":
		default:
			each(l)
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

// confRoot makes the tables of keywords. They are no variables, because those would be made at
// each start of a tool.
func confRoot() map[string]confKeyword {
	return map[string]confKeyword{
		"global_defs":              {sub: confGlobals()},
		"instance":                 confFirst(func(b *confBuilder) *string { return &b.config.InstanceName }),
		"net_namespace":            confFirst(func(b *confBuilder) *string { return &b.config.NetNamespace }),
		"vrrp_instance":            {run: (*confBuilder).newInstance, sub: confInstanceBlock()},
		"vrrp_sync_group":          {run: (*confBuilder).newGroup, sub: confGroupBlock()},
		"vrrp_script":              {run: (*confBuilder).newScript, sub: confScriptBlock(), end: (*confBuilder).endScript},
		"track_file":               {run: (*confBuilder).newFile, sub: confFileBlock(), end: (*confBuilder).endFile},
		"vrrp_track_file":          {run: (*confBuilder).newFile, sub: confFileBlock(), end: (*confBuilder).endFile},
		"vrrp_track_process":       confTracker("track_process"),
		"bfd_instance":             confTracker("track_bfd"),
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
}

func confGlobals() map[string]confKeyword {
	return map[string]confKeyword{
		"notification_email":      confIgnored,
		"enable_script_security":  {run: func(b *confBuilder, _ confLine) { b.config.ScriptSecurity = true }},
		"script_user":             {run: func(b *confBuilder, l confLine) { b.config.ScriptUser, b.config.ScriptGroup = confUser(l.words, 1) }},
		"dynamic_interfaces":      {run: func(b *confBuilder, _ confLine) { b.config.DynamicInterface = true }},
		"data_use_instance":       confFlag(func(b *confBuilder, on bool) { b.config.DataUseInstance = on }),
		"state_dump_file":         confWord(func(b *confBuilder) *string { return &b.config.StateDumpFile }),
		"vrrp_strict":             {run: func(b *confBuilder, _ confLine) { b.strict = true }},
		"vmac_prefix":             confFirst(func(b *confBuilder) *string { return &b.vmacPrefix }),
		"vrrp_version":            {run: func(b *confBuilder, l confLine) { b.setNumber(&b.version, l, 2, 3) }},
		"notify_fifo":             confFIFO,
		"notify_fifo_script":      confNotify(func(b *confBuilder) *[]ConfigNotify { return &b.config.Notify }),
		"vrrp_notify_fifo":        confFIFO,
		"vrrp_notify_fifo_script": confNotify(func(b *confBuilder) *[]ConfigNotify { return &b.config.Notify }),
	}
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
		if command, argv, words := confCommand(l); argv != nil {
			n := ConfigNotify{Keyword: l.words[0], Pos: l.pos, Command: command, Argv: argv}
			n.User, n.Group = confUser(words, 2)
			*list = append(*list, n)
		}
	}}
}

func confHasNotify(list []ConfigNotify, keyword string) bool {
	return slices.ContainsFunc(list, func(n ConfigNotify) bool { return n.Keyword == keyword })
}

// confCommand reads the script of a line: its second word, split again into arguments.
// argv is nil if there is none that keepalived understands.
func confCommand(l confLine) (command string, argv, words []string) {
	words, ok := confArgs(l.text)
	if !ok || len(words) < 2 {
		return "", nil, nil
	}
	argv, _ = confArgs(words[1])
	return words[1], argv, words
}

func confReverse(l confLine, i int) bool { return i < len(l.words) && l.words[i] == "reverse" }

func (b *confBuilder) newScript(l confLine) {
	if name, ok := b.param(l, 1); ok {
		b.script = &ConfigScript{Name: name, Pos: l.pos}
	}
}

func (b *confBuilder) endScript() {
	if s := b.script; s.Argv != nil {
		b.config.Scripts = append(b.config.Scripts, *s)
		b.defineTracker("track_script", ConfigTrack{Name: s.Name, Weight: s.Weight, Reverse: s.Reverse})
	}
}

func confScriptBlock() map[string]confKeyword {
	return map[string]confKeyword{
		"script": {run: func(b *confBuilder, l confLine) { b.script.Command, b.script.Argv, _ = confCommand(l) }},
		"user":   {run: func(b *confBuilder, l confLine) { b.script.User, b.script.Group = confUser(l.words, 1) }},
		"weight": {run: func(b *confBuilder, l confLine) {
			if word, ok := b.param(l, 1); ok {
				b.script.Weight, _ = confNumber(word, -253, 253, true) // keepalived also takes one out of range
				b.script.Reverse = b.script.Reverse || confReverse(l, 2)
			}
		}},
		"interval": confSeconds(func(b *confBuilder) *time.Duration { return &b.script.Interval }),
		"timeout":  confSeconds(func(b *confBuilder) *time.Duration { return &b.script.Timeout }),
		"fall": {run: func(b *confBuilder, l confLine) {
			if word, ok := b.param(l, 1); ok {
				b.script.Fall = 1
				if n, ok := confNumber(word, 1, math.MaxInt32, true); ok {
					b.script.Fall = n
				}
			}
		}},
	}
}

// confSeconds is a keyword whose parameter is a number of seconds, with up to three decimals.
// Zero is one second; what is no such number keepalived ignores.
func confSeconds(field func(*confBuilder) *time.Duration) confKeyword {
	return confKeyword{run: func(b *confBuilder, l confLine) {
		word, ok := b.param(l, 1)
		seconds, err := strconv.ParseFloat(word, 64)
		if !ok || err != nil || seconds < 0 || seconds > math.MaxUint32/1e6 {
			return
		}
		if seconds == 0 {
			seconds = 1
		}
		*field(b) = time.Duration(math.Round(seconds*1000)) * time.Millisecond
	}}
}

func (b *confBuilder) newFile(l confLine) {
	if name, ok := b.param(l, 1); ok {
		b.file = &ConfigFile{Name: name, Pos: l.pos, Weight: 1}
	}
}

func (b *confBuilder) endFile() {
	if f := b.file; f.File != "" {
		b.config.Files = append(b.config.Files, *f)
		b.defineTracker("track_file", ConfigTrack{Name: f.Name, Weight: f.Weight, Reverse: f.Reverse})
	}
}

func confFileBlock() map[string]confKeyword {
	return map[string]confKeyword{
		"file": confFirst(func(b *confBuilder) *string { return &b.file.File }),
		"weight": {run: func(b *confBuilder, l confLine) {
			if len(l.words) < 2 || b.file.Weight != 1 {
				return
			}
			if n, ok := confNumber(l.words[1], -254, 254, true); ok {
				b.file.Weight = n
			}
			b.file.Reverse = confReverse(l, 2)
		}},
	}
}

// defineTracker makes a tracker known to the blocks of lines below; the first of a name counts.
func (b *confBuilder) defineTracker(kind string, t ConfigTrack) {
	if b.first(kind, t.Name) {
		b.trackers[confName{kind, t.Name}] = t
	}
}

// confTracker is a block of which we keep only that it is there, and its weight.
func confTracker(kind string) confKeyword {
	return confKeyword{
		run: func(b *confBuilder, l confLine) {
			name, _ := b.param(l, 1)
			b.tracker = ConfigTrack{Name: name}
		},
		sub: map[string]confKeyword{"weight": {run: func(b *confBuilder, l confLine) {
			b.setNumber(&b.tracker.Weight, l, -254, 254)
			b.tracker.Reverse = confReverse(l, 2)
		}}},
		end: func(b *confBuilder) { b.defineTracker(kind, b.tracker) },
	}
}

func (b *confBuilder) newGroup(l confLine) {
	if len(l.words) != 2 || !b.first("vrrp_sync_group", l.words[1]) {
		b.skipping = confWaitBrace
		return
	}
	b.group = &ConfigGroup{Name: l.words[1], Pos: l.pos}
	b.groups = append(b.groups, b.group)
}

func confGroupBlock() map[string]confKeyword {
	notify := confNotify(func(b *confBuilder) *[]ConfigNotify { return &b.group.Notify })
	return map[string]confKeyword{
		"group": {run: func(b *confBuilder, l confLine) {
			if b.group.Members != nil {
				b.skipping = confWaitBrace
				return
			}
			b.values(func(l confLine) { b.group.Members = append(b.group.Members, l.words...) })
		}},
		"track_script":    confTracks("track_script", func(b *confBuilder) *[]ConfigTrack { return &b.group.TrackScripts }),
		"track_file":      confTracks("track_file", func(b *confBuilder) *[]ConfigTrack { return &b.group.TrackFiles }),
		"track_interface": confTracks("track_interface", func(b *confBuilder) *[]ConfigTrack { return &b.group.TrackInterfaces }),
		"track_process":   confTracks("track_process", func(b *confBuilder) *[]ConfigTrack { return &b.group.TrackProcesses }),
		"track_bfd":       confTracks("track_bfd", func(b *confBuilder) *[]ConfigTrack { return &b.group.TrackBFDs }),
		"notify":          notify,
		"notify_master":   notify,
		"notify_backup":   notify,
		"notify_fault":    notify,
		"notify_stop":     notify,
	}
}

// confTracks is a block of lines "NAME [weight N [reverse|noreverse]]". Defaults come from
// the tracker of that name, which must stand above; an interface needs none.
func confTracks(kind string, to func(*confBuilder) *[]ConfigTrack) confKeyword {
	return confKeyword{run: func(b *confBuilder, _ confLine) {
		b.values(func(l confLine) {
			if len(l.words) == 2 || len(l.words) > 2 && l.words[1] != "weight" {
				return // keepalived drops the whole line
			}
			list := to(b)
			if !b.first(list, l.words[0]) {
				return
			}
			t, known := b.trackers[confName{kind, l.words[0]}]
			t.Name, t.Pos, t.Unknown = l.words[0], l.pos, !known && kind != "track_interface"
			if len(l.words) > 2 {
				if n, ok := confNumber(l.words[2], -254, 254, true); ok {
					t.Weight = max(-253, min(n, 253))
				}
			}
			if len(l.words) > 3 {
				t.Reverse = confReverse(l, 3) || t.Reverse && l.words[3] != "noreverse"
			}
			*list = append(*list, t)
		})
	}}
}

// newInstance: keepalived skips a block without a name, or with one that is taken.
func (b *confBuilder) newInstance(l confLine) {
	if len(l.words) != 2 || !b.first("vrrp_instance", l.words[1]) {
		b.skipping = confWaitBrace
		return
	}
	b.instance = &confInstance{ConfigInstance: ConfigInstance{Name: l.words[1], Pos: l.pos}}
	b.instances = append(b.instances, b.instance)
}

func confInstanceBlock() map[string]confKeyword {
	notify := confNotify(func(b *confBuilder) *[]ConfigNotify { return &b.instance.Notify })
	return map[string]confKeyword{
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
		"authentication":             {sub: confAuthentication()},
		"auth_hmac":                  {sub: map[string]confKeyword{}},
		"track_script":               confTracks("track_script", func(b *confBuilder) *[]ConfigTrack { return &b.instance.TrackScripts }),
		"track_file":                 confTracks("track_file", func(b *confBuilder) *[]ConfigTrack { return &b.instance.TrackFiles }),
		"track_interface":            confTracks("track_interface", func(b *confBuilder) *[]ConfigTrack { return &b.instance.TrackInterfaces }),
		"track_process":              confTracks("track_process", func(b *confBuilder) *[]ConfigTrack { return &b.instance.TrackProcesses }),
		"track_bfd":                  confTracks("track_bfd", func(b *confBuilder) *[]ConfigTrack { return &b.instance.TrackBFDs }),
		"notify":                     notify,
		"notify_master":              notify,
		"notify_backup":              notify,
		"notify_fault":               notify,
		"notify_stop":                notify,
		"notify_deleted":             notify,
		"notify_master_rx_lower_pri": notify,
	}
}

func confAuthentication() map[string]confKeyword {
	return map[string]confKeyword{
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
}
