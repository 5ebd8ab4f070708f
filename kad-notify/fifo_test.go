package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/sys/unix"

	"kad/pkg/cli"
	"kad/pkg/keepalived"
)

// reader is a kad-notify that reads a FIFO.
type reader struct {
	*room
	cmd  *exec.Cmd
	said *lockedBuffer
	fifo string
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func startReader(t testing.TB, r *room, args ...string) *reader {
	t.Helper()
	f := &reader{room: r, said: &lockedBuffer{}, fifo: r.path("fifo")}
	f.cmd = r.command(append([]string{"fifo", f.fifo}, args...)...)
	f.cmd.Stderr = f.said
	if err := f.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.cmd.Process.Kill(); _ = f.cmd.Wait() })
	eventually(t, "the FIFO is being read", func() bool {
		open, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", f.cmd.Process.Pid))
		return slices.ContainsFunc(open, func(fd string) bool { to, _ := os.Readlink(fd); return to == f.fifo })
	})
	return f
}

// put writes text as keepalived does: without waiting for anybody.
func (f *reader) put(texts ...string) {
	f.t.Helper()
	pipe, err := os.OpenFile(f.fifo, os.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		f.t.Fatal(err)
	}
	defer pipe.Close()
	for _, text := range texts {
		if _, err := pipe.WriteString(text); err != nil {
			f.t.Fatal(err)
		}
	}
}

// stop ends the reader as systemd does and returns its exit code.
func (f *reader) stop() int {
	_ = f.cmd.Process.Signal(unix.SIGTERM)
	_ = f.cmd.Wait()
	return f.cmd.ProcessState.ExitCode()
}

const order = "[hook.order]\nkind = \"exec\"\ncommand = [\"/bin/sh\", \"-c\", 'echo \"$KAD_INSTANCE $KAD_STATE $KAD_PREVIOUS_STATE $KAD_PRIORITY\" >>@/order']\n" +
	"state = [\"MASTER\", \"BACKUP\", \"FAULT\", \"STOP\", \"DELETED\", \"MASTER_PRIORITY\", \"MASTER_RX_LOWER_PRI\"]\n"

func (f *reader) awaitOrder(want string) {
	f.t.Helper()
	var got []byte
	for deadline := time.Now().Add(time.Minute); string(got) != want; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			f.t.Fatalf("handled %q, want %q; it said %s", got, want, f.said)
		}
		got, _ = os.ReadFile(f.path("order"))
	}
}

func TestFIFO(t *testing.T) {
	f := startReader(t, newRoom(t, order))
	f.put("INSTANCE \"VI_1\" BACKUP 240\n", "GROUP \"G1\" MASTER 0\n", "INSTANCE \"a \"b\" c\" MASTER 1\n")
	f.put("VS [192.0.2.1]:tcp:514 UP\n", "RS [192.0.2.2]:tcp:514 [192.0.2.1]:tcp:514 DOWN\n")
	f.put("INSTANCE \"VI", "_1\" MASTER 240\n") // in two parts
	f.put("INSTANCE \"VI_1\" MASTER_PRIORITY 200\n", "INSTANCE \"VI_1\" MASTER_RX_LOWER_PRI 200\n", "INSTANCE \"VI_1\" BACKUP_PRIORITY 200\n")
	f.put("INSTANCE \"VI_1\" STOP 200\n")
	f.awaitOrder("VI_1 BACKUP  240\na \"b\" c MASTER  1\nVI_1 MASTER BACKUP 240\nVI_1 MASTER_PRIORITY MASTER 200\nVI_1 MASTER_RX_LOWER_PRI MASTER 200\nVI_1 STOP MASTER 200\n")
	if code := f.stop(); code != 0 {
		t.Errorf("code %d, %s", code, f.said)
	}
	if info, err := os.Stat(f.fifo); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the FIFO: %v, %v", info, err)
	}
}

// What is no event is reported and skipped.
func TestFIFOGarbage(t *testing.T) {
	f := startReader(t, newRoom(t, order))
	f.put("\n", "hello\n", "INSTANCE \"VI_1\" WHAT 240\n", "INSTANCE \"VI_1\" MASTER 999\n", "\x00\xff\x1b[31m\n")
	long := strings.Repeat("x", 32<<10) // a write of more than a page is in parts
	for range 4 {
		f.put(long)
	}
	f.put("\n")
	f.put("INSTANCE \"VI_1\" FAULINSTANCE \"VI_1\" MASTER 240\n") // half a line before a whole one
	f.awaitOrder("VI_1 MASTER  240\n")
	said := f.said.String()
	for _, want := range []string{
		`notify line "hello": want INSTANCE, GROUP, VS or RS`, `state "WHAT" is not MASTER`, "priority", "a line of more than 4096 bytes is left out",
		`half a line is left out: INSTANCE "VI_1" FAUL`,
	} {
		if !strings.Contains(said, want) {
			t.Errorf("not said: %s\n%s", want, said)
		}
	}
	if strings.Contains(said, "\x1b") {
		t.Errorf("control characters in %q", said)
	}
}

// A writer that closes and opens again, and the reader's own restart, lose nothing.
func TestFIFOReopened(t *testing.T) {
	r := newRoom(t, order)
	f := startReader(t, r)
	for i := range 5 {
		f.put(fmt.Sprintf("INSTANCE \"VI_1\" MASTER %d\n", i+1))
	}
	f.awaitOrder("VI_1 MASTER  1\nVI_1 MASTER MASTER 2\nVI_1 MASTER MASTER 3\nVI_1 MASTER MASTER 4\nVI_1 MASTER MASTER 5\n")
	second := r.command("fifo", f.fifo)
	if out, err := second.CombinedOutput(); err == nil || string(out) != "kad-notify: "+f.fifo+" is being read by another kad-notify\n" {
		t.Errorf("a second reader: %v, %s", err, out)
	}
	// keepalived keeps the FIFO open while the reader is away.
	writer, err := os.OpenFile(f.fifo, os.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	f.stop()
	fmt.Fprint(writer, "INSTANCE \"VI_1\" FAULT 6\n")
	os.Remove(r.path("order"))
	f = startReader(t, r)
	f.awaitOrder("VI_1 FAULT MASTER 6\n")
}

// A thousand transitions, written at once, are handled in order.
func TestFIFOBurst(t *testing.T) {
	r := newRoom(t, stateFile)
	f := startReader(t, r)
	want := f.burst(1000)
	for i, e := range history(t, r, "--last", "0") {
		got := fmt.Sprintf("%s %s %d", e.Name, e.State, *e.Priority)
		if got != want[i] || e.Verdict != verdictDone || len(e.Hooks) != 1 {
			t.Fatalf("event %d: %s, %s, want %s", i, got, e.Verdict, want[i])
		}
	}
}

// burst writes n transitions at once, waits until they are handled, and returns them.
func (f *reader) burst(n int) (events []string) {
	f.t.Helper()
	var lines []string
	for i := range n {
		name, state, priority := fmt.Sprintf("VI_%d", i%7), transitions[i%3], i%255
		lines = append(lines, fmt.Sprintf("INSTANCE \"%s\" %s %d\n", name, state, priority))
		events = append(events, fmt.Sprintf("%s %s %d", name, state, priority))
	}
	f.put(lines...)
	eventually(f.t, "the last one is in the history", func() bool {
		text, _ := os.ReadFile(f.path("state/history"))
		return bytes.Count(text, []byte("\n")) == n
	})
	return events
}

func BenchmarkFIFO(b *testing.B) {
	r := newRoom(b, stateFile)
	f := startReader(b, r)
	const n = 1000
	for b.Loop() {
		os.Remove(r.path("state/history"))
		f.burst(n)
	}
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N*n), "ms/transition")
}

// Told to end, the reader handles what is in the FIFO, but not for longer than it may.
func TestFIFOStop(t *testing.T) {
	r := newRoom(t, order)
	f := startReader(t, r)
	f.put("INSTANCE \"VI_1\" MASTER 1\n", "INSTANCE \"VI_1\" BACKUP 2\n", "INSTANCE \"VI_1\" STOP 3\n")
	if code := f.stop(); code != 0 || r.read("order") != "VI_1 MASTER  1\nVI_1 BACKUP MASTER 2\nVI_1 STOP BACKUP 3\n" {
		t.Errorf("code %d, handled %q", code, r.read("order"))
	}

	r = newRoom(t, hookScript("slow", "touch @/begun; sleep 60", ""))
	f = startReader(t, r, "--stop-timeout", "300ms")
	f.put("INSTANCE \"VI_1\" MASTER 1\n")
	eventually(t, "the hook runs", func() bool { _, err := os.Stat(r.path("begun")); return err == nil })
	begin := time.Now()
	f.stop()
	if d := time.Since(begin); d > 30*time.Second || !strings.Contains(f.said.String(), "not done 300ms after kad-notify was told to end") {
		t.Errorf("after %v: %s", d, f.said)
	}
}

// What was written before the end is handled, also by a reader that comes to it late.
func TestFIFOLateReader(t *testing.T) {
	pipe, err := openFIFO(filepath.Join(t.TempDir(), "fifo"))
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	for i := range 5000 { // more than one read takes
		fmt.Fprintf(pipe, "INSTANCE \"VI_%d\" STOP 240\n", i)
	}
	if err := pipe.SetReadDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	q := newQueue()
	if err := (&notifier{stderr: io.Discard}).read(pipe, q); err != nil || len(q.events) != 5000 || q.events[4999].Name != "VI_4999" {
		t.Errorf("%v, %d events", err, len(q.events))
	}
}

// The routes follow keepalived through its start, its stop and its death.
func TestFIFOWithKeepalived(t *testing.T) {
	c := newGobgpd(t)
	r := newRoom(t, route)
	f := startReader(t, r)
	run := func() func(os.Signal) {
		return startKeepalived(t, r, "global_defs {\n    vrrp_notify_fifo @/fifo\n}\n")
	}
	const all = "192.168.245.100 192.168.245.52, 192.168.245.101 192.168.245.52, 2001:db8::100 2001:db8::52"
	stop := run()
	eventually(t, "the VIPs are announced", func() bool { return announced(t, c) == all })
	stop(unix.SIGTERM)
	eventually(t, "the VIPs are withdrawn", func() bool { return announced(t, c) == "" })
	states := func() (words []string) {
		for _, e := range history(t, r, "VI_1") {
			words = append(words, string(e.State))
		}
		return slices.Compact(words) // the sync at the start may have found one before it was told
	}
	eventually(t, "STOP is seen", func() bool { return strings.Join(states(), " ") == "BACKUP MASTER STOP" })
	stop = run()
	eventually(t, "the VIPs are announced again", func() bool { return announced(t, c) == all })
	stop(unix.SIGKILL) // says nothing, and leaves the addresses
	eventually(t, "the VIPs are withdrawn again", func() bool { return announced(t, c) == "" })
	for _, a := range []string{"192.168.245.100/32", "192.168.245.101/24", "2001:db8::100/128", "192.168.245.102/32"} {
		release(t, a)
	}
	if code := f.stop(); code != 0 {
		t.Errorf("code %d, %s", code, f.said)
	}
}

// As notify_fifo_script keepalived starts it, and ends it just before it says STOP: nothing stays announced.
func TestFIFOScript(t *testing.T) {
	c := newGobgpd(t)
	r := newRoom(t, route)
	tool := builtTool(t)
	r.write("wrap", "#!/bin/sh\nexec "+tool+" --config @/notify.toml fifo \"$@\"\n", 0o755)
	stop := startKeepalived(t, r, "global_defs {\n    script_user root\n    vrrp_notify_fifo @/fifo2\n    vrrp_notify_fifo_script @/wrap\n}\n")
	eventually(t, "the VIPs are announced", func() bool { return announced(t, c) != "" })
	stop(unix.SIGTERM)
	eventually(t, "the VIPs are withdrawn", func() bool { return announced(t, c) == "" })
}

func TestFIFORefused(t *testing.T) {
	r := newRoom(t, "")
	r.write("file", "", 0o600)
	if err := unix.Mkfifo(r.path("open"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(r.path("open"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(r.path("open"), r.path("link")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"file": "file is not a FIFO",
		"open": "open can be written by everybody (mode 0666)",
		"link": "too many levels of symbolic links",
	} {
		code, _, stderr := r.run("fifo", r.path(name))
		if code != cli.Failure || !strings.Contains(stderr, want) {
			t.Errorf("%s: code %d, %s", name, code, stderr)
		}
	}
}

// Over its bound the queue keeps the newest state of each instance.
func TestQueue(t *testing.T) {
	q := newQueue()
	event := func(name string, s keepalived.State) keepalived.Event {
		return keepalived.Event{Kind: keepalived.InstanceEvent, Name: name, State: s}
	}
	if n := q.push(event("first", keepalived.Master)); n != 0 {
		t.Errorf("dropped %d", n)
	}
	for i := range maxQueue - 1 {
		if n := q.push(event("VI_1", transitions[i%3])); n != 0 {
			t.Fatalf("dropped %d at %d", n, i)
		}
	}
	if n := q.push(event("VI_1", keepalived.Stop)); n != maxQueue-1 {
		t.Errorf("dropped %d of the same instance, want %d", n, maxQueue-1)
	}
	q.close()
	var left []string
	for e, ok := q.pop(); ok; e, ok = q.pop() {
		left = append(left, e.Name+" "+string(e.State))
	}
	if got := strings.Join(left, ", "); got != "first MASTER, VI_1 STOP" {
		t.Errorf("left %s", got)
	}
	q = newQueue()
	for i := range maxQueue + 5 {
		q.push(event(fmt.Sprint(i), keepalived.Master))
	}
	if len(q.events) != maxQueue || q.events[0].Name != "5" {
		t.Errorf("%d events, the first is %s", len(q.events), q.events[0].Name)
	}
}

// However the bytes come, the lines are the same: those of at most maxLine bytes as they are, each
// longer one an error.
func FuzzLines(f *testing.F) {
	f.Add([]byte("INSTANCE \"VI_1\" MASTER 240\nGROUP \"G\" BACKUP 0\nhalf"))
	f.Add([]byte("\n\n" + strings.Repeat("x", maxLine) + "\n" + strings.Repeat("y", maxLine+1) + "\nz\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var want []string
		for line := range bytes.Lines(data) {
			switch text, ended := bytes.CutSuffix(line, []byte("\n")); {
			case !ended:
			case len(text) > maxLine:
				want = append(want, errOverlong.Error())
			default:
				want = append(want, "line "+string(text))
			}
		}
		for name, r := range map[string]io.Reader{"whole": bytes.NewReader(data), "bytes": iotest.OneByteReader(bytes.NewReader(data)), "halves": iotest.HalfReader(bytes.NewReader(data))} {
			var got []string
			l := &lineReader{r: r}
			for {
				line, err := l.next()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					got = append(got, err.Error())
				} else {
					got = append(got, "line "+string(line))
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s: got %q, want %q", name, got, want)
			}
		}
	})
}
