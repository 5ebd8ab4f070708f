package keepalived

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
)

// ParseDumpJSON parses a JSON dump, keepalived.json, of keepalived 1.3 to 2.4
// (vrrp/vrrp_json.c): an array of instances, or with json_version 2 an object with that
// array as "vrrp". It knows less than the text dump: no trackers' states, no sync groups,
// and the commands of tracked scripts instead of their names. The error is a
// *SyntaxError that names the byte.
func ParseDumpJSON(data []byte) (*Dump, error) {
	if err := isDump(data); err != nil {
		return nil, err
	}
	p := jsonParser{dec: json.NewDecoder(bytes.NewReader(mendJSON(data)))}
	if err := p.parse(); err != nil {
		return nil, p.place(err)
	}
	return &p.dump, nil
}

type jsonParser struct {
	dec  *json.Decoder
	dump Dump
}

func (p *jsonParser) parse() error {
	start, err := p.dec.Token()
	if err != nil {
		return err
	}
	switch start {
	case json.Delim('['):
		err = p.items(p.instance)
	case json.Delim('{'):
		err = p.fields(func(key string) error {
			switch key {
			case "vrrp":
				return p.array(p.instance)
			case "track_process":
				return p.array(p.process)
			}
			return p.skip()
		})
	default:
		return errors.New("not a keepalived JSON dump: want an array or an object")
	}
	if err != nil {
		return err
	}
	if _, err := p.dec.Token(); err != io.EOF {
		return errors.New("something follows the end of the dump")
	}
	return nil
}

// place says where parsing ended. What encoding/json says may quote the input, which has
// passwords.
func (p *jsonParser) place(err error) *SyntaxError {
	var syntax *json.SyntaxError
	at := p.dec.InputOffset()
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &SyntaxError{Msg: fmt.Sprintf("truncated: the JSON stops after byte %d", at), Truncated: true}
	case errors.As(err, &syntax):
		return &SyntaxError{Msg: fmt.Sprintf("byte %d: not JSON", at)}
	}
	return &SyntaxError{Msg: fmt.Sprintf("byte %d: %v", at, err)}
}

// array, object and values walk what comes next.

func (p *jsonParser) array(item func() error) error {
	if err := p.open('['); err != nil {
		return err
	}
	return p.items(item)
}

func (p *jsonParser) items(item func() error) error {
	for p.dec.More() {
		if err := item(); err != nil {
			return err
		}
	}
	_, err := p.dec.Token()
	return err
}

func (p *jsonParser) object(field func(key string) error) error {
	if err := p.open('{'); err != nil {
		return err
	}
	return p.fields(field)
}

func (p *jsonParser) fields(field func(key string) error) error {
	return p.items(func() error {
		key, err := p.dec.Token()
		if err != nil {
			return err
		}
		return field(key.(string)) // the decoder takes nothing else for a key
	})
}

func (p *jsonParser) values(value func(key string, raw json.RawMessage) error) error {
	return p.object(func(key string) error {
		var raw json.RawMessage
		if err := p.dec.Decode(&raw); err != nil {
			return err
		}
		if err := value(key, raw); err != nil {
			return fmt.Errorf("%s %w", key, err)
		}
		return nil
	})
}

func (p *jsonParser) open(want json.Delim) error {
	got, err := p.dec.Token()
	if err == nil && got != want {
		err = fmt.Errorf("want a %v", want)
	}
	return err
}

func (p *jsonParser) skip() error {
	var raw json.RawMessage
	return p.dec.Decode(&raw)
}

func (p *jsonParser) instance() error {
	i := Instance{Faults: -1}
	err := p.object(func(key string) error {
		switch key {
		case "data":
			return p.data(&i)
		case "stats":
			return p.stats(&i)
		}
		return p.skip()
	})
	switch {
	case err != nil && i.Name == "":
		return fmt.Errorf("instance %d: %w", len(p.dump.Instances)+1, err)
	case err != nil:
		return fmt.Errorf("%s: %w", i.title(), err)
	case i.Name == "":
		return fmt.Errorf("instance %d has no iname", len(p.dump.Instances)+1)
	case i.VRID == 0:
		return fmt.Errorf("%s has no vrid", i.title())
	case i.Priority == 0:
		return fmt.Errorf("%s has no base_priority", i.title())
	}
	p.dump.Instances = append(p.dump.Instances, i)
	return nil
}

func (p *jsonParser) data(i *Instance) error {
	var vipset bool
	err := p.values(func(key string, raw json.RawMessage) (err error) {
		if key == "vipset" {
			vipset, err = jsonBool(raw)
			return err
		}
		return i.jsonField(key, raw)
	})
	if len(i.VIPs) > 0 && i.VIPs[0].Device == "" {
		// Up to 2.0.10 there are bare addresses, and pointers for the names of interfaces.
		for n := range i.VIPs {
			i.VIPs[n].Set = vipset
		}
		i.TrackedInterfaces = nil
	}
	return err
}

func (p *jsonParser) stats(i *Instance) error {
	err := p.dec.Decode(&i.Stats)
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		return fmt.Errorf("stats: %s is a %s, not a number", kind.Field, kind.Value)
	}
	return err
}

func (i *Instance) jsonField(key string, raw json.RawMessage) (err error) {
	number := string(raw)
	switch key {
	case "iname":
		i.Name, err = jsonString(raw)
	case "ifp_ifname":
		i.Interface, err = jsonString(raw)
	case "version":
		i.Version, err = parseInt(number, 2, 3)
	case "state":
		i.State, err = parseState(number)
	case "wantstate":
		i.WantState, err = parseState(number)
	case "init_state":
		i.InitState, err = parseState(number)
	case "vrid":
		i.VRID, err = parseInt(number, 1, 255)
	case "base_priority":
		i.Priority, err = parseInt(number, 1, 255)
	case "effective_priority":
		i.EffectivePriority, err = parseInt(number, 0, 255)
	case "master_priority":
		i.MasterPriority, err = parseInt(number, 0, 255)
	case "last_transition":
		i.LastTransition, err = parseTime(number)
	case "adver_int":
		i.AdvertInterval, err = parseSeconds(number)
	case "master_adver_int":
		i.MasterAdvertInterval, err = parseSeconds(number)
	case "preempt_delay":
		i.PreemptDelay, err = parseSeconds(number)
	case "nopreempt":
		i.NoPreempt, err = jsonBool(raw)
	case "accept":
		i.Accept, err = jsonBool(raw)
	case "promote_secondaries":
		i.PromoteSecondaries, err = jsonBool(raw)
	case "strict_mode":
		i.Strict, err = jsonBool(raw)
	case "dont_track_primary":
		i.DontTrackPrimary, err = jsonBool(raw)
	case "skip_check_adv_addr":
		i.SkipCheckAdvAddr, err = jsonBool(raw)
	case "auth_type":
		i.AuthType, err = jsonAuthType(number)
	case "vips":
		i.VIPs, err = jsonVIPs(raw)
	case "evips":
		i.Excluded, err = jsonVIPs(raw)
	case "vroutes":
		i.Routes, err = jsonLines(raw)
	case "vrules":
		i.Rules, err = jsonLines(raw)
	case "track_ifp":
		i.TrackedInterfaces, err = jsonTracked(raw)
	case "track_script":
		i.TrackedScripts, err = jsonTracked(raw)
	case "track_process":
		i.TrackedProcesses, err = jsonTracked(raw)
	default:
		if garp, ok := strings.CutPrefix(key, "garp_"); ok {
			return i.GARP.jsonField(garp, number)
		}
		if on, ok := jsonNotify[key]; ok {
			var script string
			script, err = jsonString(raw)
			i.Notify = append(i.Notify, NotifyScript{On: on, Command: command(script)})
		}
	}
	return err
}

// jsonNotify has the words that the text dump prints for the scripts' keys.
var jsonNotify = map[string]string{
	"script_backup": "Backup", "script_master": "Master", "script_fault": "Fault", "script_stop": "Stop",
	"script_deleted": "Deleted", "script": "Generic", "script_master_rx_lower_pri": "Master rx lower pri",
}

func (g *GARP) jsonField(key, number string) (err error) {
	switch key {
	case "delay":
		g.Delay, err = parseSeconds(number)
	case "rep":
		g.Repeat, err = parseInt(number, 0, math.MaxUint32)
	case "refresh":
		g.Refresh, err = parseSeconds(number)
	case "refresh_rep":
		g.RefreshRepeat, err = parseInt(number, 0, math.MaxUint32)
	case "lower_prio_delay":
		g.LowerPrioDelay, err = parseSeconds(number)
	case "lower_prio_rep":
		g.LowerPrioRepeat, err = parseInt(number, 0, math.MaxUint32)
	}
	return err
}

func (p *jsonParser) process() error {
	var t TrackProcess
	err := p.values(func(key string, raw json.RawMessage) (err error) {
		number := string(raw)
		switch key {
		case "process":
			t.Name, err = jsonString(raw)
		case "min_processes":
			t.Min, err = parseInt(number, 0, math.MaxUint32)
		case "max_processes":
			t.Max, err = parseInt(number, 0, math.MaxUint32)
		case "current_processes":
			t.Current, err = parseInt(number, 0, math.MaxUint32)
		case "have_quorum":
			t.Quorum, err = jsonBool(raw)
		case "weight":
			t.Weight, err = parseInt(number, math.MinInt32, math.MaxInt32)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", t.title(), err)
	}
	p.dump.Processes = append(p.dump.Processes, t)
	return nil
}

func jsonString(raw json.RawMessage) (s string, err error) {
	if json.Unmarshal(raw, &s) != nil {
		return "", fmt.Errorf("%s is not a string", quote(string(raw)))
	}
	return s, nil
}

func jsonStrings(raw json.RawMessage) ([]string, error) {
	var all []string
	if json.Unmarshal(raw, &all) != nil {
		return nil, fmt.Errorf("%s is not an array of strings", quote(string(raw)))
	}
	if len(all) == 0 {
		return nil, nil
	}
	return all, nil
}

// jsonLines is for routes and rules: 1.3 indents them.
func jsonLines(raw json.RawMessage) ([]string, error) {
	all, err := jsonStrings(raw)
	for n := range all {
		all[n] = strings.TrimSpace(all[n])
	}
	return all, err
}

func jsonVIPs(raw json.RawMessage) (vips []VIP, err error) {
	all, err := jsonStrings(raw)
	for _, s := range all {
		if vips, err = addVIP(vips, s); err != nil {
			return nil, err
		}
	}
	return vips, err
}

func jsonTracked(raw json.RawMessage) (tracked []Tracked, err error) {
	all, err := jsonStrings(raw)
	for _, s := range all {
		tracked = append(tracked, Tracked{Name: command(s), NoWeight: true})
	}
	return tracked, err
}

// jsonBool reads true and false, and the 0 and 1 that many flags are.
func jsonBool(raw json.RawMessage) (bool, error) {
	switch string(raw) {
	case "true", "1":
		return true, nil
	case "false", "0":
		return false, nil
	}
	return false, fmt.Errorf("%s is not true or false", quote(string(raw)))
}

func jsonAuthType(number string) (string, error) {
	switch number {
	case "0":
		return "none", nil
	case "1":
		return "SIMPLE_PASSWORD", nil
	case "2":
		return "IPSEC_AH", nil
	}
	return "", fmt.Errorf("%s is not 0, 1 or 2", quote(number))
}

// mendJSON makes valid what keepalived writes into strings beyond JSON: \' (2.0.11 to
// 2.0.16) and bare control characters (before 2.4). Without them it returns data itself.
func mendJSON(data []byte) []byte {
	var out []byte
	done, inString := 0, false // data[:done] is in out
	for n := 0; n < len(data); n++ {
		c := data[n]
		var mended string
		switch {
		case c == '"':
			inString = !inString
			continue
		case inString && c == '\\' && n+1 < len(data):
			n++
			if strings.IndexByte(`"\/bfnrtu`, data[n]) >= 0 {
				continue
			}
			mended = string(data[n])
			out = append(out, data[done:n-1]...)
		case inString && c < ' ':
			mended = fmt.Sprintf(`\u%04x`, c)
			out = append(out, data[done:n]...)
		default:
			continue
		}
		out = append(out, mended...)
		done = n + 1
	}
	if out == nil {
		return data
	}
	return append(out, data[done:]...)
}
