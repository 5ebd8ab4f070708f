package keepalived

import (
	"strings"
	"testing"
)

func TestParseNotifyArgs(t *testing.T) {
	tests := []struct {
		name, args string // separated by |
		want       Event
		err        string
	}{
		{name: "instance", args: "INSTANCE|VI_1|MASTER|240", want: Event{Kind: InstanceEvent, Name: "VI_1", State: Master, Priority: 240}},
		{name: "group", args: "GROUP|G, one|FAULT|0", want: Event{Kind: GroupEvent, Name: "G, one", State: Fault}},
		{name: "own arguments before", args: "--config|GROUP|x|INSTANCE|VI_1|STOP|100", want: Event{Kind: InstanceEvent, Name: "VI_1", State: Stop, Priority: 100}},
		{name: "no priority", args: "own|INSTANCE|VI_1|BACKUP", want: Event{Kind: InstanceEvent, Name: "VI_1", State: Backup, Priority: -1}},
		{name: "named as a kind", args: "INSTANCE|GROUP|DELETED|1", want: Event{Kind: InstanceEvent, Name: "GROUP", State: Deleted, Priority: 1}},
		{name: "named as a kind, no priority", args: "GROUP|INSTANCE|INSTANCE|MASTER", want: Event{Kind: InstanceEvent, Name: "INSTANCE", State: Master, Priority: -1}},
		{name: "named as a state", args: "INSTANCE|MASTER|MASTER|9", want: Event{Kind: InstanceEvent, Name: "MASTER", State: Master, Priority: 9}},
		{name: "odd name", args: "INSTANCE|a\" \n'%s|MASTER|9", want: Event{Kind: InstanceEvent, Name: "a\" \n'%s", State: Master, Priority: 9}},

		{name: "none", args: "", err: `notify arguments "": want INSTANCE|GROUP NAME STATE PRIORITY at the end`},
		{name: "two", args: "INSTANCE|VI_1", err: `notify arguments "INSTANCE VI_1": want INSTANCE|GROUP NAME STATE PRIORITY at the end`},
		{name: "something after", args: "INSTANCE|VI_1|MASTER|240|x", err: `notify arguments "INSTANCE VI_1 MASTER 240 x": want INSTANCE|GROUP NAME STATE PRIORITY at the end`},
		{name: "unknown state", args: "INSTANCE|VI_1|{UNKNOWN}|240", err: `notify arguments "INSTANCE VI_1 {UNKNOWN} 240": state "{UNKNOWN}" is not MASTER, BACKUP, FAULT, STOP or DELETED`},
		{name: "FIFO's state", args: "INSTANCE|VI_1|MASTER_PRIORITY|240", err: `notify arguments "INSTANCE VI_1 MASTER_PRIORITY 240": state "MASTER_PRIORITY" is not MASTER, BACKUP, FAULT, STOP or DELETED`},
		{name: "unknown state, no priority", args: "INSTANCE|VI_1|master", err: `notify arguments "INSTANCE VI_1 master": state "master" is not MASTER, BACKUP, FAULT, STOP or DELETED`},
		{name: "priority", args: "INSTANCE|VI_1|MASTER|high", err: `notify arguments "INSTANCE VI_1 MASTER high": priority "high" is not a number`},
		{name: "priority range", args: "INSTANCE|VI_1|MASTER|256", err: `notify arguments "INSTANCE VI_1 MASTER 256": priority "256" is not within 0 and 255`},
		{name: "no name", args: "INSTANCE||MASTER|1", err: `notify arguments "INSTANCE  MASTER 1": there is no name`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseNotifyArgs(strings.Split(tt.args, "|"))
			if got != tt.want || errText(err) != tt.err {
				t.Errorf("got %+v, %v\nwant %+v, %s", got, err, tt.want, tt.err)
			}
		})
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestParseNotifyLine(t *testing.T) {
	tests := []struct {
		name, line string
		want       Event
		transition bool
		err        string
	}{
		{name: "instance", line: "INSTANCE \"VI_1\" MASTER 240\n", want: Event{Kind: InstanceEvent, Name: "VI_1", State: Master, Priority: 240}, transition: true},
		{name: "group", line: "GROUP \"G, one\" STOP 0\n", want: Event{Kind: GroupEvent, Name: "G, one", State: Stop}, transition: true},
		{name: "without line end", line: `INSTANCE "VI_1" DELETED 1`, want: Event{Kind: InstanceEvent, Name: "VI_1", State: Deleted, Priority: 1}, transition: true},
		{name: "quotes and blanks", line: `INSTANCE "a" MASTER 5" BACKUP 7`, want: Event{Kind: InstanceEvent, Name: `a" MASTER 5`, State: Backup, Priority: 7}, transition: true},
		{name: "lower priority heard", line: `INSTANCE "VI_1" MASTER_RX_LOWER_PRI 240`, want: Event{Kind: InstanceEvent, Name: "VI_1", State: MasterRxLowerPri, Priority: 240}},
		{name: "priority of a master", line: `INSTANCE "VI_1" MASTER_PRIORITY 220`, want: Event{Kind: InstanceEvent, Name: "VI_1", State: MasterPriority, Priority: 220}},
		{name: "priority of a backup", line: `INSTANCE "VI_1" BACKUP_PRIORITY 220`, want: Event{Kind: InstanceEvent, Name: "VI_1", State: BackupPriority, Priority: 220}},
		{name: "virtual server", line: `VS [192.0.2.1]:tcp:514 UP`, want: Event{Kind: VirtualServerEvent, Name: "[192.0.2.1]:tcp:514", State: ServerUp, Priority: -1}},
		{name: "virtual server by mark", line: `VS FWM 10 DOWN`, want: Event{Kind: VirtualServerEvent, Name: "FWM 10", State: ServerDown, Priority: -1}},
		{name: "real server", line: `RS [2001:db8::2]:udp:514 [my group]:514 DOWN`, want: Event{Kind: RealServerEvent, Name: "[2001:db8::2]:udp:514", VirtualServer: "[my group]:514", State: ServerDown, Priority: -1}},

		{name: "empty", line: "\n", err: `notify line "": want INSTANCE, GROUP, VS or RS`},
		{name: "half", line: `INSTANCE "VI_1" MAS`, err: `notify line "INSTANCE \"VI_1\" MAS": want "NAME" STATE PRIORITY`},
		{name: "tail of a half", line: `TER 240`, err: `notify line "TER 240": want INSTANCE, GROUP, VS or RS`},
		{name: "two", line: "INSTANCE \"a\" MASTER 1\nINSTANCE \"b\" MASTER 1\n", err: `notify line "INSTANCE \"a\" MASTER 1\nINSTANCE \"b\" MASTER 1": there is a line end in it`},
		{name: "no quotes", line: `INSTANCE VI_1 MASTER 240`, err: `notify line "INSTANCE VI_1 MASTER 240": want "NAME" STATE PRIORITY`},
		{name: "one quote", line: `INSTANCE " MASTER 240`, err: `notify line "INSTANCE \" MASTER 240": want "NAME" STATE PRIORITY`},
		{name: "no name", line: `INSTANCE "" MASTER 240`, err: `notify line "INSTANCE \"\" MASTER 240": there is no name`},
		{name: "unknown state", line: `INSTANCE "VI_1" {UNKNOWN} 240`, err: `notify line "INSTANCE \"VI_1\" {UNKNOWN} 240": state "{UNKNOWN}" is not MASTER, BACKUP, FAULT, STOP or DELETED`},
		{name: "priority", line: `INSTANCE "VI_1" MASTER -1`, err: `notify line "INSTANCE \"VI_1\" MASTER -1": priority "-1" is not within 0 and 255`},
		{name: "server without state", line: `VS [192.0.2.1]:tcp:514`, err: `notify line "VS [192.0.2.1]:tcp:514": state "" is not UP or DOWN`},
		{name: "no server", line: `VS  UP`, err: `notify line "VS  UP": there is no server`},
		{name: "real server of none", line: `RS [192.0.2.1]:tcp:514 UP`, err: `notify line "RS [192.0.2.1]:tcp:514 UP": there is no virtual server`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseNotifyLine([]byte(tt.line))
			if got != tt.want || errText(err) != tt.err || got.Transition() != tt.transition {
				t.Fatalf("got %+v, %v, transition %v\nwant %+v, %s", got, err, got.Transition(), tt.want, tt.err)
			}
			if err == nil && got.String() != strings.TrimSuffix(tt.line, "\n") {
				t.Errorf("String: got %s", got)
			}
		})
	}
}

// FuzzParseNotifyArgs: what parses, parses the same from what Args makes of it.
func FuzzParseNotifyArgs(f *testing.F) {
	f.Add("own\x00INSTANCE\x00VI_1\x00MASTER\x00240")
	f.Add("GROUP\x00INSTANCE\x00INSTANCE\x00BACKUP")
	f.Fuzz(func(t *testing.T, args string) {
		e, err := ParseNotifyArgs(strings.Split(args, "\x00")) // no argument holds a NUL
		if err != nil {
			if e != (Event{}) {
				t.Fatalf("got %+v and %v", e, err)
			}
			return
		}
		if again, err := ParseNotifyArgs(e.Args()); again != e || err != nil {
			t.Fatalf("got %+v, %v\nwant %+v", again, err, e)
		}
	})
}

// FuzzParseNotifyLine: what parses, parses the same from what Append makes of it.
func FuzzParseNotifyLine(f *testing.F) {
	for _, line := range []string{"INSTANCE \"a\" b\" MASTER 7\n", `GROUP "g" FAULT 0`, `VS FWM 1 UP`, `RS [::1]:tcp:1 [a b]:2 DOWN`} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		e, err := ParseNotifyLine(line)
		if err != nil {
			if e != (Event{}) {
				t.Fatalf("got %+v and %v", e, err)
			}
			return
		}
		if again, err := ParseNotifyLine(e.Append(nil)); again != e || err != nil {
			t.Fatalf("got %+v, %v\nwant %+v", again, err, e)
		}
	})
}
