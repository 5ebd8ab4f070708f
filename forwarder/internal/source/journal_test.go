package source

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kad/forwarder/internal/option"
)

// entryText is an entry in the export format. Values with a newline are written with their length.
func entryText(fields ...exportField) []byte {
	var b []byte
	for _, f := range fields {
		b = append(b, f.name...)
		if bytes.IndexByte(f.value, '\n') < 0 {
			b = append(append(append(b, '='), f.value...), '\n')
			continue
		}
		b = binary.LittleEndian.AppendUint64(append(b, '\n'), uint64(len(f.value)))
		b = append(append(b, f.value...), '\n')
	}
	return append(b, '\n')
}

func fieldsOf(pairs ...string) (fields []exportField) {
	for i := 0; i < len(pairs); i += 2 {
		fields = append(fields, exportField{pairs[i], []byte(pairs[i+1])})
	}
	return fields
}

func TestExport(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       []string // of the first entry: names and values
		err        string
	}{
		{"text", "A=1\nB=x=y\n\n", []string{"A", "1", "B", "x=y"}, ""},
		{"bytes", "A\n\x05\x00\x00\x00\x00\x00\x00\x00a\nb\x00c\nB=1\n\n", []string{"A", "a\nb\x00c", "B", "1"}, ""},
		{"empty values", "A=\nB\n\x00\x00\x00\x00\x00\x00\x00\x00\n\n", []string{"A", "", "B", ""}, ""},
		{"empty lines before", "\n\nA=1\n\n", []string{"A", "1"}, ""},
		{"long text", "A=" + strings.Repeat("x", 100) + "\n\n", []string{"A", strings.Repeat("x", 20)}, ""},
		{"long bytes", "A\n\x1e\x00\x00\x00\x00\x00\x00\x00" + strings.Repeat("\n", 30) + "\nB=1\n\n", []string{"A", strings.Repeat("\n", 20), "B", "1"}, ""},
		{"nothing", "", nil, "EOF"},
		{"no end", "A=1\n", nil, "unexpected EOF"},
		{"half a name", "A", nil, "unexpected EOF"},
		{"half a value", "A=1", nil, "unexpected EOF"},
		{"half a length", "A\n\x05\x00", nil, "unexpected EOF"},
		{"half of the bytes", "A\n\x05\x00\x00\x00\x00\x00\x00\x00a", nil, "unexpected EOF"},
		{"no end of bytes", "A\n\x01\x00\x00\x00\x00\x00\x00\x00ab", nil, "a journal field has no end"},
		{"huge", "A\n\xff\xff\xff\xff\xff\xff\xff\xff", nil, "a journal field of 18446744073709551615 bytes"},
		{"no name", "=1\n\n", nil, `"=" is no name of a journal field`},
		{"no such name", "a b=1\n\n", nil, `"a" is no name of a journal field`},
	} {
		t.Run(test.name, func(t *testing.T) {
			fields, err := newExportReader(strings.NewReader(test.text), 20).next()
			var got []string
			for _, f := range fields {
				got = append(got, f.name, string(f.value))
			}
			if !slices.Equal(got, test.want) || fmt.Sprint(err) != test.err && (err != nil || test.err != "") {
				t.Errorf("got %q, %v, want %q, %s", got, err, test.want, test.err)
			}
		})
	}
}

// What is read and written again is read as before, and sizes have their bounds.
func FuzzExport(f *testing.F) {
	f.Add(entryText(fieldsOf("__CURSOR", "s=1", "MESSAGE", "one\ntwo", "PRIORITY", "3")...))
	f.Add([]byte("A\n\x05\x00\x00\x00\x00\x00\x00\x00a\nb\x00c\n\n"))
	f.Add([]byte("A=1\n\nB=2\n\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		e := newExportReader(bytes.NewReader(text), 64)
		for {
			fields, err := e.next()
			if err != nil {
				return
			}
			again, err := newExportReader(bytes.NewReader(entryText(fields...)), 64).next()
			if err != nil || len(again) != len(fields) || len(fields) == 0 || len(fields) > maxFields {
				t.Fatalf("%q is read again as %q, %v", fields, again, err)
			}
			for i := range fields {
				if fields[i].name != again[i].name || !bytes.Equal(fields[i].value, again[i].value) || len(fields[i].value) > 64 {
					t.Fatalf("%q is read again as %q", fields, again)
				}
			}
		}
	})
}

// fakeJournal is a journalctl that prints the entries of a file after a cursor, notes its arguments, and then ends or waits.
func fakeJournal(t *testing.T, then string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	script := `#!/bin/sh
echo "$*" >>` + dir + `/calls
from=0
for a; do case $a in --after-cursor=*) from=${a#--after-cursor=} ;; esac; done
i=$from
while [ -f ` + dir + `/$((i + 1)) ]; do i=$((i + 1)); cat ` + dir + `/$i; done
` + then + "\n"
	if err := os.WriteFile(filepath.Join(dir, "journalctl"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return dir
}

// put adds entries to a fake journal.
func put(t *testing.T, dir string, number int, pairs ...string) {
	t.Helper()
	text := entryText(fieldsOf(append([]string{"__CURSOR", fmt.Sprint(number)}, pairs...)...)...)
	if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(number)), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func newTestJournal(state string, set func(j *Journal)) *Journal {
	globals := option.Defaults()
	globals.StateDir, globals.KeepHostname = state, true
	j := Drivers["journal"](&globals).(*Journal)
	if set != nil {
		set(j)
	}
	return j
}

// The fields become what syslog-ng 3.38.1 made of the same entries of a real journald.
func TestJournal(t *testing.T) {
	dir := fakeJournal(t, "exec sleep 100")
	put(t, dir, 1, "__REALTIME_TIMESTAMP", "1795321975428329", "_HOSTNAME", "vm", "PRIORITY", "2", "SYSLOG_FACILITY", "4", "SYSLOG_IDENTIFIER", "su",
		"SYSLOG_PID", "77", "MESSAGE", "hello via dev-log", "_PID", "15790", "_COMM", "python3", "_SOURCE_REALTIME_TIMESTAMP", "1795321975425004")
	put(t, dir, 2, "__REALTIME_TIMESTAMP", "1795321975429711", "_HOSTNAME", "vm", "MESSAGE", "one\ntwo", "PRIORITY", "3", "SYSLOG_IDENTIFIER", "app", "X_FIELD", "1", "_PID", "5")
	put(t, dir, 3, "MESSAGE", "bare", "_COMM", "python3", "_HOSTNAME", "vm", "PRIORITY", "x", "SYSLOG_FACILITY", "999")
	s := run(t, newTestJournal(t.TempDir(), func(j *Journal) { j.Zone = option.Zone{}; j.Matches = []string{"_COMM=x y", "+"} }),
		"$HOST|$PROGRAM|$PID|$FACILITY.$PRIORITY|$MSG|${.journald.X_FIELD}|${.journald.MESSAGE}|${.journald.__CURSOR}")
	expect(t, s,
		"vm|su|15790|auth.crit|hello via dev-log||hello via dev-log|",
		"vm|app|5|local0.err|one\ntwo|1|one\ntwo|",
		"vm|python3||local0.notice|bare||bare|")
	s.stop()
	calls, err := os.ReadFile(dir + "/calls")
	if want := "--output=export --follow --quiet --no-tail _COMM=x y +\n"; err != nil || string(calls) != want {
		t.Errorf("journalctl is called with %q, %v, want %q", calls, err, want)
	}
}

// A journalctl that ends is started again, and a source that starts goes on: both after the last entry.
func TestJournalCursor(t *testing.T) {
	dir, state := fakeJournal(t, "echo no more >&2; exit 1"), t.TempDir()
	put(t, dir, 1, "MESSAGE", "one")
	s := run(t, newTestJournal(state, nil), "$MSG")
	expect(t, s, "one")
	put(t, dir, 2, "MESSAGE", "two")
	expect(t, s, "one", "two")
	s.stop()
	put(t, dir, 3, "MESSAGE", "three")
	s = run(t, newTestJournal(state, func(j *Journal) { j.ReadOld = false }), "$MSG")
	expect(t, s, "three")
	s.stop()
	files, _ := filepath.Glob(state + "/journal/*.json")
	if len(files) != 1 {
		t.Fatalf("states %q", files)
	}
	if err := os.WriteFile(files[0], []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	expect(t, run(t, newTestJournal(state, nil), "$MSG"), "one", "two", "three")
}

// An entry that is torn off is not half a message: journalctl is asked for it again.
func TestJournalTorn(t *testing.T) {
	dir := fakeJournal(t, "printf 'MESSAGE=to'; exit 0")
	put(t, dir, 1, "MESSAGE", "one")
	s := run(t, newTestJournal(t.TempDir(), nil), "$MSG")
	expect(t, s, "one")
	put(t, dir, 2, "MESSAGE", "two")
	expect(t, s, "one", "two")
}

func TestJournalOptions(t *testing.T) {
	for want, set := range map[string]func(j *Journal){
		`"--file=/etc/shadow" is neither FIELD=value nor "+"`: func(j *Journal) { j.Matches = []string{"--file=/etc/shadow"} },
		"1 is not from 16 to 268435456":                       func(j *Journal) { j.MaxFieldSize = 1 },
	} {
		if err := newTestJournal("", set).Init(); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if err := newTestJournal("", nil).Init(); err != nil {
		t.Error(err)
	}
}
