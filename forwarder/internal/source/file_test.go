package source

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"kad/forwarder/internal/option"
)

// A logFile is a file that is followed, and its rotations.
type logFile struct {
	t     *testing.T
	name  string
	state string
	dirty int // rotations
}

func newLogFile(t *testing.T) *logFile {
	return &logFile{t: t, name: filepath.Join(t.TempDir(), "a.log"), state: t.TempDir()}
}

func (l *logFile) follow(show string, set func(f *File)) *running {
	l.t.Helper()
	globals := option.Defaults()
	globals.StateDir = l.state
	f := Drivers["file"](&globals).(*File)
	f.Path, f.FollowFreq, f.Flags = l.name, option.Duration(5*time.Millisecond), []string{"no_parse"}
	if set != nil {
		set(f)
	}
	return run(l.t, f, show)
}

func (l *logFile) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *logFile) open() *os.File {
	l.t.Helper()
	f, err := os.OpenFile(l.name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	l.must(err)
	return f
}

func (l *logFile) append(text string) {
	l.t.Helper()
	f := l.open()
	_, err := f.WriteString(text)
	l.must(err)
	l.must(f.Close())
}

// rename rotates as logrotate does without options.
func (l *logFile) rename() {
	l.t.Helper()
	l.dirty++
	l.must(os.Rename(l.name, fmt.Sprintf("%s.%d", l.name, l.dirty)))
}

// copyTruncate rotates as logrotate does with that option.
func (l *logFile) copyTruncate() {
	l.t.Helper()
	l.dirty++
	data, err := os.ReadFile(l.name)
	l.must(err)
	l.must(os.WriteFile(fmt.Sprintf("%s.%d", l.name, l.dirty), data, 0o600))
	l.must(os.Truncate(l.name, 0))
}

func expect(t *testing.T, s *running, want ...string) {
	t.Helper()
	if got := s.wait(len(want)); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A file is read from its beginning, followed, and read anew when it is replaced or cut.
func TestFile(t *testing.T) {
	l := newLogFile(t)
	l.append("one\ntwo\npart")
	s := l.follow("$MSG", func(f *File) { f.Path = filepath.Join(filepath.Dir(l.name), "*.log") })
	expect(t, s, "one", "two")
	l.append("ial\nthree\n")
	expect(t, s, "one", "two", "partial", "three")
	before := l.open()
	l.rename()
	l.append("four\n")
	expect(t, s, "one", "two", "partial", "three", "four")
	_, err := before.WriteString("late\n") // the writer has not heard of the rotation yet
	l.must(err)
	l.must(before.Close())
	expect(t, s, "one", "two", "partial", "three", "four", "late")
	l.must(os.WriteFile(l.name, []byte("5\n"), 0o600))
	expect(t, s, "one", "two", "partial", "three", "four", "late", "5")
}

// A source that starts goes on where it was, whatever happened to the file in between.
func TestFileRestart(t *testing.T) {
	for _, test := range []struct {
		name   string
		before func(l *logFile) // after "one" and "two" were read
		want   []string
	}{
		{"nothing", func(*logFile) {}, nil},
		{"appended", func(l *logFile) { l.append("three\n") }, []string{"three"}},
		{"line without an end", func(l *logFile) { l.append("th") }, nil},
		{"renamed", func(l *logFile) { l.append("three\n"); l.rename(); l.append("four\n") }, []string{"three", "four"}},
		{"renamed twice", func(l *logFile) {
			l.append("three\n")
			l.rename()
			l.must(os.Rename(l.name+".1", l.name+".2"))
			l.append("four\n")
		}, []string{"three", "four"}},
		{"copied and cut", func(l *logFile) { l.append("three\n"); l.copyTruncate(); l.append("four\n") }, []string{"three", "four"}},
		{"copied and cut, and longer", func(l *logFile) { l.append("three\n"); l.copyTruncate(); l.append("a line that makes it longer\n") },
			[]string{"three", "a line that makes it longer"}},
		{"cut", func(l *logFile) { l.must(os.Truncate(l.name, 0)); l.append("four\n") }, []string{"four"}},
		{"replaced", func(l *logFile) { l.must(os.Remove(l.name)); l.append("other\nand four\n") }, []string{"other", "and four"}},
	} {
		for _, old := range []bool{true, false} {
			t.Run(fmt.Sprint(test.name, ", read_old_records ", old), func(t *testing.T) {
				l := newLogFile(t)
				l.append("one\ntwo\n")
				s := l.follow("$MSG", nil)
				expect(t, s, "one", "two")
				s.stop()
				test.before(l)
				s = l.follow("$MSG", func(f *File) { f.ReadOld = old })
				l.append("last\n")
				want := append(slices.Clone(test.want), "last")
				if test.name == "line without an end" {
					want = []string{"thlast"}
				}
				expect(t, s, want...)
			})
		}
	}
}

func TestFileReadNew(t *testing.T) {
	l := newLogFile(t)
	l.append("old\n")
	s := l.follow("$MSG", func(f *File) { f.ReadOld = false })
	for len(s.wait(0)) == 0 { // it does not tell when it has begun: what comes before that is old
		l.append("new\n")
		time.Sleep(20 * time.Millisecond)
	}
	s.stop()
	for _, line := range s.wait(0) {
		if line != "new" {
			t.Errorf("got %q", line)
		}
	}
}

// Damage to the state costs a line in the log, and read_old_records says where to begin.
func TestFileBadState(t *testing.T) {
	for _, damage := range []string{"", "{", "null", `{"schema":2}`, `{"schema":1,"files":[{"offset":-1}]}`, `{"schema":1,"files":[{"offset":9,"length":4096}]}`, "\x00\x00"} {
		t.Run(damage, func(t *testing.T) {
			l := newLogFile(t)
			l.append("one\n")
			s := l.follow("$MSG", nil)
			expect(t, s, "one")
			s.stop()
			files, err := filepath.Glob(l.state + "/file/*.json")
			if err != nil || len(files) != 1 {
				t.Fatal(files, err)
			}
			l.must(os.WriteFile(files[0], []byte(damage), 0o600))
			expect(t, l.follow("$MSG", nil), "one")
		})
	}
}

// Whatever rotates the file whenever, and however often the source is restarted: each line arrives once.
func TestFileRotations(t *testing.T) {
	l := newLogFile(t)
	random := rand.New(rand.NewPCG(1, 2))
	var want, got []string
	s := l.follow("$MSG", nil)
	isNew := true
	for i := range 150 {
		line := fmt.Sprintf("%d-%s", i, strings.Repeat("x", random.IntN(2000)))
		l.append(line + "\n")
		want = append(want, line)
		choice := random.IntN(6)
		if isNew || choice == 1 { // what was never seen is not found elsewhere
			if n := len(want) - len(got); len(s.wait(n)) < n {
				t.Fatalf("%d of %d lines after %d rotations", len(got)+len(s.wait(0)), len(want), l.dirty)
			}
		}
		isNew = choice == 0
		switch choice {
		case 0:
			l.rename()
		case 1:
			l.copyTruncate()
		case 2:
			s.stop()
			got = append(got, s.wait(0)...)
			s = l.follow("$MSG", nil)
		}
	}
	got = append(got, s.wait(len(want)-len(got))...)
	for i := range want {
		if i >= len(got) || got[i] != want[i] {
			t.Fatalf("got %d lines, want %d; line %d differs", len(got), len(want), i)
		}
	}
}

// Files cost no buffer each.
func TestManyFiles(t *testing.T) {
	const n = 2000
	dir := t.TempDir()
	for i := range n {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i, ".log")), []byte("line\nand a part"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l := newLogFile(t)
	l.name = filepath.Join(dir, "*.log")
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	s := l.follow("$FILE_NAME $MSG", nil)
	if got := len(s.wait(n)); got != n {
		t.Errorf("got %d lines, want %d", got, n)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > n*4096 {
		t.Errorf("%d files take %d bytes", n, grown)
	}
}

// Another file type is told once, and does not stop the source.
func TestFileIsNone(t *testing.T) {
	l := newLogFile(t)
	var log bytes.Buffer
	f := &follower{Input: &Input{Logger: slog.New(slog.NewTextHandler(&log, nil))}, options: &File{Path: "/dev/null"}}
	for range 3 {
		if found := f.find(); len(found) != 0 {
			t.Errorf("found %v", found)
		}
	}
	if got := strings.Count(log.String(), "/dev/null is no regular file"); got != 1 {
		t.Errorf("told %d times, want once: %s", got, &log)
	}
	l.append("one\n")
	expect(t, l.follow("$MSG", nil), "one")
}
