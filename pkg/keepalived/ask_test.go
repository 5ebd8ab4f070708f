package keepalived

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"kad/pkg/testneed"

	"golang.org/x/sys/unix"
)

// A fake keepalived is this test's program under the name keepalived: a parent, and a
// child that answers SIGUSR1 as its part says.
func init() {
	switch part := os.Getenv("FAKE_KEEPALIVED"); part {
	case "":
	case "parent":
		fakeParent()
	default:
		fakeChild(part)
	}
}

func fakeParent() {
	runtime.LockOSThread() // of which the child must not outlive the death
	for {
		child := exec.Command(os.Args[0], os.Args[1:]...)
		child.Env = append(os.Environ(), "FAKE_KEEPALIVED="+os.Getenv("FAKE_PART"))
		child.Stdout, child.Stderr = os.Stdout, os.Stderr
		child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
		if err := child.Start(); err != nil {
			panic(err)
		}
		os.WriteFile(os.Getenv("FAKE_VRRP_PID"), []byte(strconv.Itoa(child.Process.Pid)+"\n"), 0o644)
		child.Wait()
	}
}

func fakeChild(part string) {
	signals := make(chan os.Signal, 10)
	signal.Notify(signals, unix.SIGUSR1)
	f := &fakeDumper{dir: os.Getenv("TMPDIR"), name: "keepalived.data"}
	if config := os.Getenv("FAKE_LOADED"); config != "" {
		fd, err := unix.MemfdCreate("/keepalived/consolidated_configuration", unix.MFD_CLOEXEC)
		if err != nil {
			panic(err)
		}
		unix.Write(fd, []byte(config))
		defer unix.Close(fd)
	}
	play := fakeParts[part]
	f.place("stale", 1) // an old dump is always there
	if play.start != nil {
		play.start(f)
	}
	fmt.Println("ready")
	for range signals {
		f.answers++
		play.answer(f)
	}
}

// fakeDumper writes dumps in whatever way.
type fakeDumper struct {
	dir, name string
	answers   int
	open      *os.File
	rest      string
	ended     chan struct{}
}

// text is a true dump with a router id that tells which one it is.
func (f *fakeDumper) text(router string) string {
	text, err := os.ReadFile(os.Getenv("FAKE_DUMP"))
	if err != nil {
		panic(err)
	}
	return strings.Replace(string(text), "Router ID = loghost01", "Router ID = "+router, 1)
}

// begin renames a new file into place and writes the first part of it, as keepalived does
// since 2.0.9.
func (f *fakeDumper) begin(text string, part float64) {
	tmp, err := os.CreateTemp(f.dir, f.name)
	if err != nil {
		panic(err)
	}
	os.Rename(tmp.Name(), filepath.Join(f.dir, f.name))
	f.cut(tmp, text, part)
}

// truncate begins a dump as keepalived did before 2.0.9.
func (f *fakeDumper) truncate(text string, part float64) {
	file, err := os.OpenFile(filepath.Join(f.dir, f.name), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		panic(err)
	}
	f.cut(file, text, part)
}

func (f *fakeDumper) cut(file *os.File, text string, part float64) {
	at := int(float64(len(text)) * part)
	file.WriteString(text[:at])
	f.open, f.rest = file, text[at:]
}

func (f *fakeDumper) end() {
	f.open.WriteString(f.rest)
	f.open.Close()
}

// endLater ends the dump when the asker has long begun to wait.
func (f *fakeDumper) endLater() {
	f.ended = make(chan struct{})
	go func() {
		time.Sleep(10 * step)
		f.end()
		time.Sleep(step)
		close(f.ended)
	}()
}

// place writes a whole dump, or a part of one.
func (f *fakeDumper) place(router string, part float64) {
	f.begin(f.text(router), part)
	f.open.Close()
}

func (f *fakeDumper) placeOf(instance string, really bool) {
	text := f.text(f.fresh())
	if really {
		text = strings.Replace(text, "\n Router ID", "\n Instance name = "+instance+"\n Router ID", 1)
	}
	f.begin(text, 1)
	f.open.Close()
}

// instead renames something else into place.
func (f *fakeDumper) instead(make func(path string) error) {
	tmp := filepath.Join(f.dir, "instead")
	if err := make(tmp); err != nil {
		panic(err)
	}
	os.Rename(tmp, filepath.Join(f.dir, f.name))
}

func (f *fakeDumper) fresh() string { return "fresh" + strconv.Itoa(f.answers) }

// fakePart is how a fake child behaves: before it is ready, and for each SIGUSR1.
type fakePart struct {
	start, answer func(f *fakeDumper)
}

const step = 20 * time.Millisecond

var fakeParts = map[string]fakePart{
	"plain": {answer: func(f *fakeDumper) { f.place(f.fresh(), 1) }},
	"slow": {answer: func(f *fakeDumper) {
		f.begin(f.text(f.fresh()), 0)
		time.Sleep(5 * step)
		f.open.WriteString(f.rest[:4096])
		f.rest = f.rest[4096:]
		time.Sleep(5 * step)
		f.end()
	}},
	"in place": {answer: func(f *fakeDumper) {
		f.truncate(f.text(f.fresh()), 0.5)
		time.Sleep(5 * step)
		f.end()
	}},
	"cut once": {answer: func(f *fakeDumper) { f.place(f.fresh(), float64(min(f.answers, 2))/2) }},
	"cut":      {answer: func(f *fakeDumper) { f.place(f.fresh(), 0.5) }},
	"empty":    {answer: func(f *fakeDumper) { f.place(f.fresh(), 0) }},
	"binary": {answer: func(f *fakeDumper) {
		f.begin("\x7fELF\x00\x01\x02", 1)
		f.open.Close()
	}},
	"another text": {answer: func(f *fakeDumper) {
		f.begin("auth_pass LEAKME42\n", 1)
		f.open.Close()
	}},
	"never completes": {answer: func(f *fakeDumper) { f.begin(f.text(f.fresh()), 0.5) }},
	"silent":          {answer: func(f *fakeDumper) {}},
	"stops":           {answer: func(f *fakeDumper) { unix.Kill(os.Getpid(), unix.SIGSTOP) }},
	"dies":            {answer: func(f *fakeDumper) { unix.Kill(os.Getpid(), unix.SIGKILL) }},
	"dies writing": {answer: func(f *fakeDumper) {
		f.begin(f.text(f.fresh()), 0.5)
		unix.Kill(os.Getpid(), unix.SIGKILL)
	}},
	"link": {answer: func(f *fakeDumper) {
		f.instead(func(path string) error { return os.Symlink(os.Getenv("FAKE_DUMP"), path) })
	}},
	"fifo": {answer: func(f *fakeDumper) {
		f.instead(func(path string) error { return unix.Mkfifo(path, 0o600) })
		file, err := os.OpenFile(filepath.Join(f.dir, f.name), os.O_RDWR, 0)
		if err != nil {
			panic(err)
		}
		file.Close()
	}},
	"foreign": {answer: func(f *fakeDumper) {
		f.instead(func(path string) error {
			return errors.Join(os.WriteFile(path, []byte(f.text(f.fresh())), 0o600), os.Chown(path, 65534, 65534))
		})
	}},
	"huge": {answer: func(f *fakeDumper) {
		f.begin(f.text(f.fresh()), 1)
		f.open.Truncate(MaxDump + 1)
		f.open.Close()
	}},
	// Somebody else had asked before: that dump, begun before our signal, is not ours.
	"another is under way": {
		start: func(f *fakeDumper) { f.begin(f.text("stale"), 0.5); f.endLater() },
		answer: func(f *fakeDumper) {
			<-f.ended
			f.place(f.fresh(), 1)
		},
	},
	"another is under way, in place": {
		start: func(f *fakeDumper) { f.truncate(f.text("stale"), 0.5); f.endLater() },
		answer: func(f *fakeDumper) {
			<-f.ended
			f.truncate(f.text(f.fresh()), 1)
			f.open.Close()
		},
	},
	// Somebody else asks right after: that dump replaces ours while it is read.
	"another follows": {answer: func(f *fakeDumper) {
		f.place(f.fresh(), 1)
		f.begin(f.text(f.fresh()), 0.5)
		time.Sleep(step)
		f.end()
	}},
	"many follow": {answer: func(f *fakeDumper) {
		for range 300 {
			f.place(f.fresh(), 1)
		}
	}},
	// Two keepalived write to one file.
	"of another instance first": {answer: func(f *fakeDumper) { f.placeOf("other", f.answers == 1) }},
	// What it has loaded is not what it runs with.
	"always of another instance": {answer: func(f *fakeDumper) { f.placeOf("other", true) }},
}

var keepalivedCopy = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "kad-fake-")
	if err != nil {
		return "", err
	}
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "keepalived")
	return path, os.WriteFile(path, self, 0o755)
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := keepalivedCopy(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// startFake starts a fake keepalived of that part.
func startFake(t *testing.T, part string) *Process {
	t.Helper()
	exe, err := keepalivedCopy()
	if err != nil {
		t.Fatal(err)
	}
	capture, err := filepath.Abs("testdata/dumps/2.2.7/k-odd-loghost01/keepalived.data")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	loaded := "# " + dir + "/keepalived.conf\nglobal_defs {\nrouter_id x\n}\n!\n"
	if strings.HasSuffix(part, "in place") {
		loaded = ""
	}
	vrrpPID := filepath.Join(dir, "vrrp.pid")
	cmd := exec.Command(exe, "-n", "-f", filepath.Join(dir, "keepalived.conf"), "-r", vrrpPID)
	cmd.Env = append(os.Environ(), "FAKE_KEEPALIVED=parent", "FAKE_PART="+part, "TMPDIR="+dir,
		"FAKE_DUMP="+capture, "FAKE_LOADED="+loaded, "FAKE_VRRP_PID="+vrrpPID)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		io.Copy(io.Discard, stdout) // until the child has ended, too
		cmd.Wait()
	})
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
		t.Fatalf("fake keepalived says %q, %v", line, err)
	}
	pidFile := filepath.Join(dir, "keepalived.pid")
	if err := os.WriteFile(pidFile, []byte(strconv.Itoa(cmd.Process.Pid)), 0o600); err != nil {
		t.Fatal(err)
	}
	ps, err := Find(FindOptions{PIDFile: pidFile})
	if err != nil {
		t.Fatal(err)
	}
	if len(ps) != 1 || ps[0].VRRP == 0 {
		t.Fatalf("found %+v", ps)
	}
	return ps[0]
}

// inTime is err's text without the time that was left when Dump began, which is the machine's to say.
func inTime(err error) string { return limit.ReplaceAllString(err.Error(), "in time") }

var limit = regexp.MustCompile(`within -?[\d.]+m?s`)

// noAnswer is a timeout to wait out, long enough for a fake to have done its part.
const noAnswer = 3 * time.Second

func TestDump(t *testing.T) {
	tests := []struct {
		part   string
		router string // of the dump that must come
		reason error  // or why none comes
		text   string // of which error, DIR and PID replaced
		root   bool   // needs root
	}{
		{part: "plain", router: "fresh1"},
		{part: "slow", router: "fresh1"},
		{part: "in place", router: "fresh1"},
		{part: "cut once", router: "fresh2"},
		{part: "another is under way", router: "fresh1"},
		{part: "another is under way, in place", router: "fresh1"},
		{part: "another follows", router: "fresh1"},
		{part: "many follow", router: "fresh1"},
		{part: "of another instance first", router: "fresh2"},
		{part: "always of another instance", router: "fresh2"},
		{part: "cut", reason: ErrBadDump, text: "keepalived PID: dump DIR/keepalived.data:339: truncated: the last line has no end"},
		{part: "empty", reason: ErrBadDump, text: "keepalived PID: dump DIR/keepalived.data: truncated: the dump is empty"},
		{part: "binary", reason: ErrBadDump, text: "keepalived PID: dump DIR/keepalived.data: not a keepalived dump: binary data, a NUL at byte 4"},
		{part: "another text", reason: ErrBadDump, text: `keepalived PID: dump DIR/keepalived.data: not a keepalived text dump: no block "------< ... >------" at its start`},
		{part: "link", reason: ErrBadDump, text: "keepalived PID: dump DIR/keepalived.data: is a symbolic link, keepalived writes a file"},
		{part: "fifo", reason: ErrBadDump, text: "keepalived PID: dump DIR/keepalived.data: is not a file"},
		{part: "foreign", reason: ErrBadDump, text: "keepalived PID: dump DIR/keepalived.data: belongs to uid 65534, not to keepalived's uid 0", root: true},
		{part: "huge", reason: ErrBadDump, text: "keepalived PID: dump DIR/keepalived.data: 67108865 bytes are more than the 67108864 of the largest dump"},
		{part: "never completes", reason: ErrNoAnswer, text: "keepalived PID began its dump DIR/keepalived.data but did not finish it in time"},
		{part: "silent", reason: ErrNoAnswer, text: "keepalived PID wrote no dump DIR/keepalived.data in time"},
		{part: "stops", reason: ErrNoAnswer, text: "keepalived PID wrote no dump DIR/keepalived.data in time: the process is stopped (SIGSTOP)"},
		{part: "dies", reason: ErrGone, text: "keepalived PID has ended: it was stopped, or is restarting"},
		{part: "dies writing", reason: ErrGone, text: "keepalived PID has ended: it was stopped, or is restarting"},
	}
	for _, tt := range tests {
		t.Run(tt.part, func(t *testing.T) {
			if tt.root && os.Geteuid() != 0 {
				testneed.That(t, false, "root, to give a file away")
			}
			t.Parallel()
			p := startFake(t, tt.part)
			timeout := time.Minute
			if tt.reason == ErrNoAnswer {
				timeout = noAnswer
			}
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			d, err := p.Dump(ctx)
			if tt.router != "" {
				if err != nil {
					t.Fatal(err)
				}
				if d.RouterID != tt.router || len(d.Instances) != 14 || len(d.Interfaces) == 0 {
					t.Errorf("dump of %s with %d instances, want %s", d.RouterID, len(d.Instances), tt.router)
				}
				return
			}
			if err == nil || d != nil || !errors.Is(err, tt.reason) {
				t.Fatalf("got %v and error %v, want %v", d, err, tt.reason)
			}
			text := strings.NewReplacer("PID", strconv.Itoa(p.VRRP), "DIR", p.env("TMPDIR")).Replace(tt.text)
			if got := inTime(err); got != text {
				t.Errorf("error %q, want %q", err, text)
			}
		})
	}
}

func TestDumpEndsWithItsContext(t *testing.T) {
	p := startFake(t, "silent")
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(step, cancel)
	if d, err := p.Dump(ctx); d != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v and error %v, want %v", d, err, context.Canceled)
	}
}

// A process is signalled only if it is still the one that Find saw.
func TestDumpOfAnotherProcess(t *testing.T) {
	t.Run("restarted", func(t *testing.T) {
		p := startFake(t, "plain")
		old := p.VRRP
		if err := unix.Kill(old, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		for p.proc.isKeepalived(old) {
			time.Sleep(time.Millisecond)
		}
		if d, err := p.Dump(t.Context()); d != nil || !errors.Is(err, ErrGone) {
			t.Errorf("got %v and error %v, want %v", d, err, ErrGone)
		}
	})
	t.Run("recycled pid", func(t *testing.T) {
		p := startFake(t, "plain")
		other := exec.Command("sleep", "100") // SIGUSR1 would end it
		if err := other.Start(); err != nil {
			t.Fatal(err)
		}
		p.VRRP = other.Process.Pid
		if d, err := p.Dump(t.Context()); d != nil || !errors.Is(err, ErrGone) {
			t.Errorf("got %v and error %v, want %v", d, err, ErrGone)
		}
		other.Process.Kill()
		other.Wait()
		if got := other.ProcessState.Sys().(syscall.WaitStatus).Signal(); got != unix.SIGKILL {
			t.Errorf("the other process died of %v", got)
		}
	})
	t.Run("of our own parent, with the same start", func(t *testing.T) {
		p := startFake(t, "plain")
		p.start = "1"
		if d, err := p.Dump(t.Context()); d != nil || !errors.Is(err, ErrGone) {
			t.Errorf("got %v and error %v, want %v", d, err, ErrGone)
		}
	})
}

func TestDumpByManyAtOnce(t *testing.T) {
	for _, part := range []string{"plain", "in place"} {
		t.Run(part, func(t *testing.T) {
			p := startFake(t, part)
			var all sync.WaitGroup
			for range 6 {
				q := *p
				all.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					d, err := q.Dump(ctx)
					if err != nil || len(d.Instances) != 14 || d.RouterID == "stale" {
						t.Errorf("got %+v and error %v", d, err)
					}
				})
			}
			all.Wait()
		})
	}
}

func TestDumpLeavesNothingBehind(t *testing.T) {
	p := startFake(t, "plain")
	count := func() (goroutines, files int) {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return runtime.NumGoroutine(), len(entries)
	}
	goroutines, files := count()
	for range 20 {
		if _, err := p.Dump(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for end := time.Now().Add(5 * time.Second); ; runtime.Gosched() {
		g, f := count()
		if g <= goroutines && f <= files {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d goroutines and %d files before, %d and %d after", goroutines, files, g, f)
		}
	}
}

// The loaded configuration is used only when it is whole: keepalived rewrites it at reload.
func TestConfigWhileReloading(t *testing.T) {
	f := newFakeProc(t)
	f.pair(100, 102)
	f.write("root/102/etc/keepalived/keepalived.conf", "vrrp_instance NEW {\n interface eth0\n virtual_router_id 1\n}\n")
	f.write("copy", "# /etc/keepalived/keepalived.conf\nvrrp_instance OLD {\ninterface eth0\nvirtual_router_id 1\n}\n!\n")
	ps, err := Find(f.options())
	if err != nil {
		t.Fatal(err)
	}
	p := ps[0]
	p.loaded = filepath.Join(f.dir, "copy")
	check := func(name string, want ConfigSource) {
		t.Helper()
		c, source, err := p.Config()
		if err != nil {
			t.Fatal(err)
		}
		if source != want || len(c.Instances) != 1 || c.Instances[0].Name != name {
			t.Errorf("got %+v from %+v, want %s from %+v", c.Instances, source, name, want)
		}
	}
	copied := ConfigSource{Loaded: true, Path: p.loaded}
	check("OLD", copied)
	check("OLD", copied) // remembered
	f.write("copy", "# /etc/keepalived/keepalived.conf\nvrrp_instance NE")
	check("NEW", ConfigSource{Path: "/etc/keepalived/keepalived.conf"})
	f.write("copy", "# /etc/keepalived/keepalived.conf\nvrrp_instance NEWER {\ninterface eth0\nvirtual_router_id 1\n}\n!\n")
	check("NEWER", copied)
}
