package keepalived

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// The blocks of a text dump: each starts with "------< NAME >------".
const (
	blockGlobals    = "Global definitions" // >= 2.0, first
	blockTopology   = "VRRP Topology"
	blockSyncGroups = "VRRP Sync groups"
	blockScripts    = "VRRP Scripts"
	blockFiles      = "VRRP Track files"
	blockProcesses  = "VRRP Track processes"
	blockBFDs       = "VRRP Track BFDs"
	blockInterfaces = "Interfaces" // >= 2.0, last
	blockNIC        = "NIC"        // 1.x, one an interface
)

// ParseDump parses a text dump, keepalived.data, of keepalived 1.3 to 2.4
// (vrrp/vrrp_print.c up to 1.4, vrrp/vrrp_data.c since). Blocks of other processes before
// or after it, as in joined files, are skipped, and so are lines it does not know. The
// error is a *SyntaxError; a known line with a value that keepalived does not write is
// one, and so is a dump whose end is missing (Truncated).
//
// What makes a dump whole: its last line ends; since 2.0 a block "Interfaces" follows the
// "VRRP Topology"; each instance has its Virtual Router ID and Priority.
func ParseDump(data []byte) (*Dump, error) {
	dump, err := parseText(data)
	if err != nil {
		return nil, err
	}
	return dump, nil
}

// Complete reports whether data is a whole text dump, by its end: ParseDump will not call
// it truncated.
func Complete(data []byte) bool {
	if isDump(data) != nil {
		return false
	}
	text := string(data)
	if isText(text) != nil || endMissing(text) != nil {
		return false
	}
	if hasGlobals(text) {
		return true
	}
	_, err := parseText(data) // 1.x has no last block
	return err == nil || !err.Truncated
}

func parseText(data []byte) (*Dump, *SyntaxError) {
	if err := isDump(data); err != nil {
		return nil, err
	}
	text := string(data)
	if err := isText(text); err != nil {
		return nil, err
	}
	if err := endMissing(text); err != nil {
		return nil, err
	}
	p := textParser{dump: new(Dump), v1: !hasGlobals(text)}
	for line := range strings.SplitSeq(text, "\n") {
		p.line++
		for line != "" {
			var unended string
			if p.v1 {
				line, unended = splitUnended(line)
			}
			if err := p.parseLine(line); err != nil {
				return nil, err
			}
			line = unended
		}
	}
	if err := p.endInstance(); err != nil {
		return nil, err
	}
	return p.dump, nil
}

// isDump tells a dump of either format from what else may be at its place.
func isDump(data []byte) *SyntaxError {
	switch {
	case len(data) == 0:
		return &SyntaxError{Msg: "truncated: the dump is empty", Truncated: true}
	case len(data) > MaxDump:
		return &SyntaxError{Msg: fmt.Sprintf("%d bytes are more than the %d of the largest dump", len(data), MaxDump)}
	}
	if at := bytes.IndexByte(data, 0); at >= 0 {
		return &SyntaxError{Msg: fmt.Sprintf("not a keepalived dump: binary data, a NUL at byte %d", at)}
	}
	return nil
}

func isText(text string) *SyntaxError {
	const start = "\n------< "
	if begin := "\n" + text[:min(len(text), 4096)]; !strings.Contains(begin, start) && !strings.HasPrefix(start, begin) {
		return &SyntaxError{Msg: `not a keepalived text dump: no block "------< ... >------" at its start`}
	}
	return nil
}

// header returns what starts a block that is not the first one.
func header(block string) string { return "\n------< " + block + " >------\n" }

// hasGlobals reports whether the dump is of keepalived 2.0 or newer.
func hasGlobals(text string) bool {
	h := header(blockGlobals)
	return strings.HasPrefix(text, h[1:]) || strings.Contains(text, h)
}

// endMissing finds by its last lines that the dump is not whole, nil if none does.
func endMissing(text string) *SyntaxError {
	missing := func(format string, args ...any) *SyntaxError {
		lines := strings.Count(strings.TrimSuffix(text, "\n"), "\n") + 1
		return &SyntaxError{Line: lines, Msg: "truncated: " + fmt.Sprintf(format, args...), Truncated: true}
	}
	if !strings.HasSuffix(text, "\n") && !endsUnended(text) {
		return missing("the last line has no end")
	}
	if !hasGlobals(text) {
		return nil
	}
	rest, topology := text, false
	for { // joined dumps have several
		_, after, ok := strings.Cut(rest, header(blockTopology))
		if !ok {
			break
		}
		rest, topology = after, true
	}
	_, interfaces, ok := strings.Cut(rest, header(blockInterfaces))
	switch {
	case !ok && topology:
		return missing("no block %q at the end", blockInterfaces)
	case !ok:
		return missing("no block %q and none %q: is it of keepalived's VRRP process?", blockTopology, blockInterfaces)
	}
	interfaces, _, _ = strings.Cut(interfaces, "\n------< ")
	_, last, _ := cutLast("\n"+interfaces, "\n Name = ")
	if !strings.Contains(last, "\n   MTU = ") && !strings.Contains(last, " (deleted)\n") {
		return missing("the last interface is not whole")
	}
	return nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	if at := strings.LastIndex(s, sep); at >= 0 {
		return s[:at], s[at+len(sep):], true
	}
	return s, "", false
}

// A textParser reads a text dump line by line. A line's indentation says what it is:
//
//	------< VRRP Topology >------            a block
//	 VRRP Instance = VI_1                    1: an object
//	   Priority = 150                        3: one of its fields, or
//	   Virtual IP (1):                          the head of a list
//	     192.0.2.1 dev eth0 scope global     5: an item of the list
type textParser struct {
	dump     *Dump
	line     int
	block    string
	instance *Instance // the open one of the topology
	object   object    // what the lines below belong to; nil: skip them
	list     string    // the last field: items that follow belong to it
	pending  int       // items that it announced and that have not come

	v1      bool            // keepalived 1.x: text_v1.go
	printed map[string]bool // by title, what 1.x repeats with each instance
}

func (p *textParser) parseLine(line string) *SyntaxError {
	text := strings.TrimLeft(line, " ")
	indent := len(line) - len(text)
	if indent > 3 {
		return p.parseItem(line[min(indent, 5):]) // a name may start with a blank
	}
	if block, ok := strings.CutPrefix(line, "------< "); ok {
		block, _, _ = strings.Cut(block, " >------")
		return p.startBlock(block)
	}
	if err := p.endList(); err != nil {
		return err
	}
	key, value, assigned := strings.Cut(text, " = ")
	if !assigned {
		key = listHead(text)
	}
	if p.v1 {
		if taken, err := p.parseV1(indent, key, value); taken || err != nil {
			return err
		}
	}
	if indent == 1 && p.block != blockGlobals {
		return p.startObject(key, value)
	}
	return p.parseField(key, value)
}

// listHead strips what follows the name in "Virtual IP :" and "Virtual IP (2):".
func listHead(text string) string {
	head, ok := strings.CutSuffix(text, ":")
	if !ok {
		return text
	}
	if at := strings.LastIndex(head, " ("); at >= 0 && strings.HasSuffix(head, ")") {
		head = head[:at]
	}
	return strings.TrimRight(head, " ")
}

func (p *textParser) startBlock(block string) *SyntaxError {
	if p.v1 && block == blockNIC && p.inInstance() {
		p.block, p.object, p.list = block, nil, ""
		return nil
	}
	if err := p.endInstance(); err != nil {
		return err
	}
	p.block, p.object = block, nil
	if block == blockGlobals {
		p.object = p.dump
	}
	return nil
}

// A head is a line that starts an object, in its block.
type head struct{ block, key string }

func (p *textParser) startObject(key, name string) *SyntaxError {
	p.object = nil
	switch (head{p.block, key}) {
	case head{blockTopology, "VRRP Instance"}:
		if err := p.endInstance(); err != nil {
			return err
		}
		p.instance = add(&p.dump.Instances, Instance{Name: strings.Clone(name), Line: p.line, Faults: -1})
		p.object = p.instance
	case head{blockSyncGroups, "VRRP Sync Group"}:
		return p.startSyncGroup(name)
	case head{blockScripts, "VRRP Script"}:
		p.object = add(&p.dump.Scripts, Script{Name: strings.Clone(name)})
	case head{blockFiles, "VRRP Track file"}, head{blockFiles, "Track file"}:
		p.object = add(&p.dump.Files, TrackFile{Name: strings.Clone(name)})
	case head{blockProcesses, "VRRP Track process"}:
		p.object = add(&p.dump.Processes, TrackProcess{Name: strings.Clone(name)})
	case head{blockBFDs, "VRRP Track BFD"}:
		p.object = add(&p.dump.BFDs, TrackBFD{Name: strings.Clone(name)})
	case head{blockInterfaces, "Name"}:
		p.object = add(&p.dump.Interfaces, Interface{Name: strings.Clone(name)})
	}
	if p.object != nil && name == "" {
		return p.errorf("%s has no name", key)
	}
	return nil
}

// startSyncGroup reads "NAME, STATE".
func (p *textParser) startSyncGroup(value string) *SyntaxError {
	name, word, _ := cutLast(value, ", ")
	group := add(&p.dump.SyncGroups, SyncGroup{Name: strings.Clone(name)})
	p.object = group
	state, err := parseState(word)
	group.State = state
	return p.wrap("state", err)
}

// add appends v and returns its place, good until the next add.
func add[T any](to *[]T, v T) *T {
	*to = append(*to, v)
	return &(*to)[len(*to)-1]
}

func (p *textParser) parseField(key, value string) *SyntaxError {
	if p.object == nil {
		return nil
	}
	p.list = key
	switch key {
	case "Virtual IP", "Virtual IP Excluded", "Tracked interfaces":
		p.pending, _ = strconv.Atoi(value) // not a number: the version does not say
	}
	return p.wrap(key, p.object.field(key, value))
}

func (p *textParser) parseItem(text string) *SyntaxError {
	if p.object == nil {
		return nil
	}
	p.pending--
	return p.wrap(p.list, p.object.item(p.list, text))
}

// endList finds a list of VIPs that is shorter than its head says; 1.x and 2.0 say it.
func (p *textParser) endList() *SyntaxError {
	list, pending := p.list, p.pending
	p.list, p.pending = "", 0
	if pending > 0 && strings.HasPrefix(list, "Virtual IP") {
		return p.truncated("%d more of %s", pending, list)
	}
	return nil
}

func (p *textParser) endInstance() *SyntaxError {
	if err := p.endList(); err != nil {
		return err
	}
	i := p.instance
	p.instance = nil
	switch {
	case i == nil:
	case i.VRID == 0:
		return p.truncated("%s, line %d, has no Virtual Router ID", i.title(), i.Line)
	case i.Priority == 0:
		return p.truncated("%s, line %d, has no Priority", i.title(), i.Line)
	}
	return nil
}

// wrap places what is wrong with a value.
func (p *textParser) wrap(key string, err error) *SyntaxError {
	if err == nil {
		return nil
	}
	return p.errorf("%s: %s %v", p.object.title(), strings.ToLower(key), err)
}

func (p *textParser) errorf(format string, args ...any) *SyntaxError {
	return &SyntaxError{Line: p.line, Msg: fmt.Sprintf(format, args...)}
}

func (p *textParser) truncated(format string, args ...any) *SyntaxError {
	return &SyntaxError{Line: p.line, Msg: "truncated: " + fmt.Sprintf(format, args...), Truncated: true}
}
