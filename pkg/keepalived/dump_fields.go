package keepalived

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// An object is a thing of a dump that several lines describe. Lines it does not know are
// no error: which there are differs from version to version and from build to build.
type object interface {
	title() string
	field(key, value string) error // "   Key = value"; a bare "   Key" has the value ""
	item(list, text string) error  // a line below "   List = N", "   List :" or "   List (N):"
}

func (d *Dump) title() string { return "Global definitions" }

func (d *Dump) item(string, string) error { return nil }

func (d *Dump) field(key, value string) (err error) {
	switch key {
	case "Router ID":
		d.RouterID = strings.Clone(value)
	case "Instance name":
		d.InstanceName = strings.Clone(value)
	case "Network namespace":
		d.NetworkNamespace = strings.Clone(unlessNone(value))
	case "Default interface":
		d.DefaultInterface = strings.Clone(value)
	case "Dynamic interfaces":
		d.DynamicInterface, err = parseBool(value)
	case "Script security enabled":
		d.ScriptSecurity = true
	default:
		if user, ok := strings.CutPrefix(key, "Default script uid:gid "); ok {
			d.ScriptUser = strings.Clone(user)
		}
	}
	return err
}

func (i *Instance) title() string { return "VRRP Instance " + printable(i.Name) }

func (i *Instance) field(key, value string) (err error) {
	switch key {
	case "VRRP Version":
		i.Version, err = parseInt(value, 2, 3)
	case "Using Native IPv6":
		i.IPv6 = true
	case "Sync group":
		i.SyncGroup = strings.Clone(value)
	case "State":
		i.State, err = parseState(value)
	case "Wantstate":
		i.WantState, err = parseState(value)
	case "Virtual Router ID":
		i.VRID, err = parseInt(value, 1, 255)
	case "Priority":
		i.Priority, err = parseInt(value, 1, 255)
	case "Effective priority":
		i.EffectivePriority, err = parseInt(value, 0, 255)
	case "Total priority":
		i.TotalPriority, err = parseInt(value, math.MinInt32, math.MaxInt32)
	case "Master router":
		i.MasterRouter, err = parseAddr(value)
	case "Master priority":
		i.MasterPriority, err = parseInt(value, 0, 255)
	case "Master advert interval", "Master advert int":
		i.MasterAdvertInterval, err = parseInterval(value)
	case "Master down timer":
		i.MasterDownTimer, err = parseInterval(value)
	case "Using src_ip":
		i.SrcIP, err = parseAddr(firstWord(value))
	case "Last transition":
		i.LastTransition, err = parseTime(firstWord(value))
	case "Last advert sent":
		i.LastAdvertSent, err = parseTime(value)
	case "Advert interval":
		i.AdvertInterval, err = parseInterval(value)
	case "Preempt":
		i.NoPreempt, err = parseBool(value)
		i.NoPreempt = !i.NoPreempt
	case "Preempt delay":
		i.PreemptDelay, err = parseInterval(value)
	case "Accept":
		i.Accept, err = parseBool(value)
	case "Promote_secondaries":
		i.PromoteSecondaries, err = parseBool(value)
	case "Enforcing strict VRRP compliance", "Enforcing VRRP compliance":
		i.Strict = true
	case "VRRP interface tracking disabled":
		i.DontTrackPrimary = true
	case "Skip checking advert IP addresses":
		i.SkipCheckAdvAddr = true
	case "Authentication type":
		i.AuthType = strings.Clone(value)
	case "Interface", "Listening device":
		i.setInterface(value)
	case "Real interface":
		i.BaseInterface = strings.Clone(value)
	case "Configured interface":
		i.ConfiguredInterface = strings.Clone(value)
	case "VRF":
		i.VRF = strings.Clone(value)
	case "Number of interface and track script faults", "Number of tracker faults":
		i.Faults, err = parseInt(value, 0, math.MaxUint32)
	case "Number of config faults":
		i.ConfigFaults, err = parseInt(value, 0, math.MaxUint32)
	case "Number of track scripts init":
		i.ScriptsInit, err = parseInt(value, 0, math.MaxUint32)
	case "Duplicate VRID":
		i.DuplicateVRID = true
	default:
		if garp, ok := strings.CutPrefix(key, "Gratuitous ARP "); ok {
			return i.GARP.field(garp, value)
		}
		i.Notify = addNotify(i.Notify, key, value)
	}
	return err
}

// setInterface reads "eth0", "vrrp.51, vmac on eth0, xmit base i/f" and the like; no
// interface name holds a blank.
func (i *Instance) setInterface(value string) {
	name, rest, _ := strings.Cut(value, ", ")
	if name == "not configured" {
		name = ""
	}
	i.Interface = strings.Clone(name)
	if _, base, ok := strings.Cut(rest, " on "); ok {
		base, xmit, _ := strings.Cut(base, ", ")
		i.BaseInterface = strings.Clone(unlessNone(base))
		i.XmitBase = xmit == "xmit base i/f"
	}
}

func (i *Instance) item(list, text string) (err error) {
	switch list {
	case "Virtual IP":
		i.VIPs, err = addVIP(i.VIPs, text)
	case "Virtual IP Excluded":
		i.Excluded, err = addVIP(i.Excluded, text)
	case "Virtual Routes":
		i.Routes = append(i.Routes, strings.Clone(strings.TrimSpace(text)))
	case "Virtual Rules":
		i.Rules = append(i.Rules, strings.Clone(strings.TrimSpace(text)))
	case "Flags":
		i.Unicast = i.Unicast || strings.HasPrefix(text, "Using unicast")
	case "Flags of interface faults":
		i.InterfaceFaults = append(i.InterfaceFaults, strings.Clone(text))
	case "Unicast Peer":
		err = i.addPeer(text)
	case "Tracked scripts":
		i.TrackedScripts, err = addTracked(i.TrackedScripts, text, "")
	case "Tracked interfaces":
		i.TrackedInterfaces, err = addTracked(i.TrackedInterfaces, text, "")
	case "Tracked files":
		i.TrackedFiles, err = addTracked(i.TrackedFiles, text, ",")
	case "Tracked processes":
		i.TrackedProcesses, err = addTracked(i.TrackedProcesses, text, ",")
	case "Tracked BFDs":
		i.TrackedBFDs, err = addTracked(i.TrackedBFDs, text, ":")
	}
	return err
}

// addPeer reads "192.0.2.1 min_ttl 0 max_ttl 255" or the address alone. Builds with
// checksum debugging print more, deeper indented, below each.
func (i *Instance) addPeer(text string) error {
	if strings.HasPrefix(text, " ") {
		return nil
	}
	peer, err := parseAddr(firstWord(text))
	if err != nil {
		return err
	}
	i.Unicast = true
	i.UnicastPeers = append(i.UnicastPeers, peer)
	return nil
}

func (g *GARP) field(key, value string) (err error) {
	switch key {
	case "delay":
		g.Delay, err = parseSeconds(value)
	case "repeat":
		g.Repeat, err = parseInt(value, 0, math.MaxUint32)
	case "refresh":
		g.Refresh, err = parseSeconds(value)
	case "refresh repeat":
		g.RefreshRepeat, err = parseInt(value, 0, math.MaxUint32)
	case "lower priority delay":
		g.LowerPrioDelay, err = parseSeconds(value)
	case "lower priority repeat":
		g.LowerPrioRepeat, err = parseInt(value, 0, math.MaxUint32)
	}
	return err
}

func (g *SyncGroup) title() string { return "VRRP Sync Group " + printable(g.Name) }

func (g *SyncGroup) field(key, value string) error {
	if key == "monitor" { // 1.x
		g.Members = append(g.Members, strings.Clone(value))
	} else {
		g.Notify = addNotify(g.Notify, key, value)
	}
	return nil
}

func (g *SyncGroup) item(list, text string) (err error) {
	switch list {
	case "VRRP member instances":
		g.Members = append(g.Members, strings.Clone(text))
	case "Tracked scripts":
		g.TrackedScripts, err = addTracked(g.TrackedScripts, text, "")
	case "Tracked interfaces":
		g.TrackedInterfaces, err = addTracked(g.TrackedInterfaces, text, "")
	case "Tracked files":
		g.TrackedFiles, err = addTracked(g.TrackedFiles, text, ",")
	case "Tracked process":
		g.TrackedProcesses, err = addTracked(g.TrackedProcesses, text, ",")
	case "Tracked BFDs":
		g.TrackedBFDs, err = addTracked(g.TrackedBFDs, text, ":")
	}
	return err
}

func (s *Script) title() string { return "VRRP Script " + printable(s.Name) }

func (s *Script) item(string, string) error { return nil }

func (s *Script) field(key, value string) (err error) {
	switch key {
	case "Command":
		s.Command = command(value)
	case "Script uid:gid", "uid:gid":
		s.User = strings.Clone(value)
	case "Interval":
		s.Interval, err = parseInterval(value)
	case "Timeout":
		s.Timeout, err = parseInterval(value)
	case "Weight":
		s.Weight, s.Reverse, err = parseWeight(value)
	case "Rise":
		s.Rise, err = parseInt(value, 0, math.MaxInt32)
	case "Fall", "Full": // a slip of early 1.3
		s.Fall, err = parseInt(value, 0, math.MaxInt32)
	case "Insecure":
		s.Insecure, err = parseBool(value)
	case "Init state":
		// Since 2.2 "Status" below is BAD, too, while the first run is pending.
		if value == "INIT" || value == "INIT/FAILED" {
			s.Status = strings.Clone(value)
		}
	case "Status":
		if s.Status == "" {
			s.Status = strings.Clone(value)
		}
	case "State":
		s.Running = value != "idle"
	}
	return err
}

func (f *TrackFile) title() string { return "Track file " + printable(f.Name) }

func (f *TrackFile) item(string, string) error { return nil }

func (f *TrackFile) field(key, value string) (err error) {
	switch key {
	case "File":
		f.File = strings.Clone(value)
	case "Status":
		f.Value, err = parseInt(value, math.MinInt64, math.MaxInt64)
	case "Weight":
		f.Weight, f.Reverse, err = parseWeight(value)
	}
	return err
}

func (t *TrackProcess) title() string { return "VRRP Track process " + printable(t.Name) }

func (t *TrackProcess) item(string, string) error { return nil }

func (t *TrackProcess) field(key, value string) (err error) {
	switch key {
	case "Process":
		t.Process = strings.Clone(value)
	case "Min processes":
		t.Min, err = parseInt(value, 0, math.MaxUint32)
	case "Max processes":
		t.Max, err = parseInt(value, 0, math.MaxUint32)
	case "Current processes":
		t.Current, err = parseInt(value, 0, math.MaxUint32)
	case "Have quorum":
		t.Quorum, err = parseBool(value)
	case "Weight":
		t.Weight, t.Reverse, err = parseWeight(value)
	}
	return err
}

func (b *TrackBFD) title() string { return "VRRP Track BFD " + printable(b.Name) }

func (b *TrackBFD) item(string, string) error { return nil }

func (b *TrackBFD) field(key, value string) (err error) {
	switch key {
	case "Bfd is up":
		b.Up = true
	case "Weight":
		b.Weight, b.Reverse, err = parseWeight(value)
	}
	return err
}

func (n *Interface) title() string { return "Interface " + printable(n.Name) }

func (n *Interface) item(string, string) error { return nil }

func (n *Interface) field(key, value string) (err error) {
	switch key {
	case "index":
		n.Index, err = parseInt(firstWord(value), 0, math.MaxUint32)
	case "IPv4 address":
		n.IPv4, err = parseAddr(value)
	case "IPv6 address":
		n.IPv6, err = parseAddr(value)
	case "MAC":
		n.MAC = strings.Clone(value)
	case "MTU":
		n.MTU, err = parseInt(value, 0, math.MaxUint32)
	case "State":
		n.Up = strings.HasPrefix(value, "UP,")
		n.Running = strings.Contains(value, ", RUNNING")
	case "is UP": // 1.x
		n.Up = true
	case "is RUNNING":
		n.Running = true
	}
	return err
}

// addNotify adds "Master state transition script = COMMAND[, params = ...], uid:gid 0:0".
func addNotify(to []NotifyScript, key, value string) []NotifyScript {
	on, ok := strings.CutSuffix(key, " state transition script")
	if !ok {
		return to
	}
	if end := strings.LastIndex(value, ", uid:gid "); end >= 0 {
		value = value[:end]
	}
	return append(to, NotifyScript{On: strings.Clone(on), Command: command(value)})
}

// command returns a script line as keepalived prints it: as written before 2.0.12, then
// each argument in single quotes. A lone plain argument loses them.
func command(value string) string {
	if n := len(value); n > 2 && value[0] == '\'' && value[n-1] == '\'' && !strings.ContainsAny(value[1:n-1], "' \t") {
		value = value[1 : n-1]
	}
	return strings.Clone(value)
}

// addVIP adds "ADDRESS[/BITS] [brd ADDRESS] dev DEVICE [scope SCOPE] [label LABEL] ... [set]"
// (vrrp/vrrp_ipaddress.c, format_ipaddress, which cuts it at 255 bytes).
func addVIP(to []VIP, text string) ([]VIP, error) {
	if text == "None" {
		return to, nil
	}
	v, err := parseVIP(text)
	if err != nil {
		return to, err
	}
	return append(to, v), nil
}

func parseVIP(text string) (VIP, error) {
	word, rest := cutWord(text)
	prefix, err := parsePrefix(word)
	if err != nil {
		return VIP{}, err
	}
	v := VIP{Prefix: prefix}
	for rest != "" {
		word, rest = cutWord(rest)
		switch word {
		case "dev":
			word, rest = cutWord(rest)
			name, _, _ := strings.Cut(word, "@") // a VMAC's base interface follows
			v.Device = strings.Clone(unlessNone(name))
		case "brd":
			word, rest = cutWord(rest)
			v.Broadcast, _ = netip.ParseAddr(word)
		case "scope":
			word, rest = cutWord(rest)
			v.Scope = strings.Clone(word)
		case "label":
			word, rest = cutWord(rest)
			v.Label = strings.Clone(word)
		case "peer":
			word, rest = cutWord(rest)
			v.Peer, _ = parsePrefix(word)
		case "track_group", "preferred_lft":
			_, rest = cutWord(rest)
		case "set":
			v.Set = true
		}
	}
	return v, nil
}

// addTracked adds "NAME[sep] weight N[ reverse]". The name may hold anything, so it is
// read from the end.
func addTracked(to []Tracked, text, sep string) ([]Tracked, error) {
	const mark = " weight "
	at := strings.LastIndex(text, mark)
	if at < 0 {
		return append(to, Tracked{Name: strings.Clone(text), NoWeight: true}), nil
	}
	t := Tracked{Name: strings.Clone(strings.TrimSuffix(text[:at], sep))}
	var err error
	if t.Weight, t.Reverse, err = parseWeight(text[at+len(mark):]); err != nil {
		return to, fmt.Errorf("%s: weight %w", printable(t.Name), err)
	}
	return append(to, t), nil
}

func parseWeight(value string) (weight int, reverse bool, err error) {
	value, reverse = strings.CutSuffix(value, " reverse")
	weight, err = parseInt(value, math.MinInt32, math.MaxInt32)
	return weight, reverse, err
}

func parseInt(value string, lo, hi int64) (int, error) {
	n, err := strconv.ParseInt(value, 10, 64)
	switch {
	case errors.Is(err, strconv.ErrSyntax):
		return 0, fmt.Errorf("%s is not a number", quote(value))
	case err != nil || n < lo || n > hi:
		return 0, fmt.Errorf("%s is not within %d and %d", quote(value), lo, hi)
	}
	return int(n), nil
}

// stateNumbers are the numbers of the JSON dump, and of 1.x where it has no word.
var stateNumbers = map[string]State{"0": Init, "1": Backup, "2": Master, "3": Fault, "97": Deleted, "98": Stop}

// parseState reads a state's word or number; "unknown", keepalived's own word for a state
// that it has no other word for, is "".
func parseState(value string) (State, error) {
	switch s := State(value); s {
	case Init:
		return Init, nil
	case Backup:
		return Backup, nil
	case Master:
		return Master, nil
	case Fault:
		return Fault, nil
	case "unknown":
		return "", nil
	}
	if s, ok := stateNumbers[value]; ok {
		return s, nil
	}
	return "", fmt.Errorf("%s is not INIT, BACKUP, MASTER or FAULT", quote(value))
}

func parseBool(value string) (bool, error) {
	switch value {
	case "true", "yes", "enabled":
		return true, nil
	case "false", "no", "disabled":
		return false, nil
	}
	return false, fmt.Errorf("%s is not yes or no", quote(value))
}

// parseAddr reads an address; "(none)", 0.0.0.0 and :: are the zero one.
func parseAddr(value string) (netip.Addr, error) {
	if unlessNone(value) == "" {
		return netip.Addr{}, nil
	}
	a, err := netip.ParseAddr(value)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("%s is not an address", quote(value))
	}
	if a.IsUnspecified() {
		return netip.Addr{}, nil
	}
	return a, nil
}

func parsePrefix(value string) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(value)
	if !strings.Contains(value, "/") {
		var a netip.Addr
		a, err = netip.ParseAddr(value)
		prefix = netip.PrefixFrom(a, a.BitLen())
	}
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%s is not an address", quote(value))
	}
	return prefix, nil
}

var intervalUnits = map[string]time.Duration{
	"sec": time.Second, "secs": time.Second, "milli-sec": time.Millisecond, "usecs": time.Microsecond,
}

// parseInterval reads "1 sec", "2.500 sec", "100 milli-sec", "3062500 usecs".
func parseInterval(value string) (time.Duration, error) {
	number, unit := cutWord(value)
	if u, ok := intervalUnits[unit]; ok {
		return parseDuration(number, u)
	}
	return 0, fmt.Errorf("%s is not a number of seconds", quote(value))
}

func parseSeconds(value string) (time.Duration, error) {
	return parseDuration(value, time.Second)
}

func parseDuration(number string, unit time.Duration) (time.Duration, error) {
	f, err := strconv.ParseFloat(number, 64)
	ns := math.Round(f * float64(unit))
	if err != nil || !(ns >= 0 && ns < math.MaxInt64) {
		return 0, fmt.Errorf("%s is not a number of seconds", quote(number))
	}
	return time.Duration(ns), nil
}

// parseTime reads "1795254068" or "1795254068.913897"; 0 is the zero time.
func parseTime(value string) (time.Time, error) {
	whole, fraction, _ := strings.Cut(value, ".")
	sec, err := strconv.ParseUint(whole, 10, 40)
	fraction = (fraction + "000000000")[:9]
	nsec, err2 := strconv.ParseUint(fraction, 10, 32)
	switch {
	case err != nil || err2 != nil:
		return time.Time{}, fmt.Errorf("%s is not a time in seconds", quote(value))
	case sec == 0 && nsec == 0:
		return time.Time{}, nil
	}
	return time.Unix(int64(sec), int64(nsec)).UTC(), nil
}

// unlessNone returns value, or "" for the words that keepalived prints for none.
func unlessNone(value string) string {
	switch value {
	case "(none)", "(null)", "(default)", "(unknown)":
		return ""
	}
	return value
}

func firstWord(s string) string {
	word, _ := cutWord(s)
	return word
}

// cutWord splits s at its first blank.
func cutWord(s string) (word, rest string) {
	word, rest, _ = strings.Cut(s, " ")
	return word, rest
}

// printable returns a name for an error text, quoted when it would spoil the line.
func printable(name string) string {
	if q := quote(name); q[1:len(q)-1] != name {
		return q
	}
	return name
}

// quote returns s in quotes, cut short when it is long.
func quote(s string) string {
	const most = 60
	if len(s) > most {
		return strconv.Quote(s[:most]) + "..."
	}
	return strconv.Quote(s)
}
