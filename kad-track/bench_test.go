package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"kad/pkg/testneed"
)

// build returns a directory with kad-track as it is released, and hello, a program that prints
// one line.
func build(t testing.TB) string {
	t.Helper()
	testneed.That(t, exec.Command("go", "version").Run() == nil, "go")
	dir := t.TempDir()
	write(t, filepath.Join(dir, "hello.go"), "package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println(\"hello\") }\n")
	for name, source := range map[string]string{"kad-track": ".", "hello": filepath.Join(dir, "hello.go")} {
		cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-tags=urfave_cli_no_docs", "-o", filepath.Join(dir, name), source)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	return dir
}

// keepalived starts kad-track each second: what its start and its size are made of is watched.
func TestSlim(t *testing.T) {
	info, err := os.Stat(filepath.Join(build(t), "kad-track"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() >= 5<<20 {
		t.Errorf("kad-track has %d bytes, want less than 5 MiB", info.Size())
	}
	out, err := exec.Command("go", "list", "-deps", "-tags=urfave_cli_no_docs", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for dep := range strings.Lines(string(out)) {
		switch dep := strings.TrimSpace(dep); dep {
		case "crypto/tls", "net/http", "github.com/godbus/dbus/v5":
			t.Errorf("kad-track links %s", dep)
		}
	}
}

// BenchmarkStart runs kad-track with a check of syslog-ng in turn with another program, whole
// processes: one that prints a line, and what people have in a track_script without kad-track.
func BenchmarkStart(b *testing.B) {
	s := startSyslogNG(b)
	dir := build(b)
	ours := []string{filepath.Join(dir, "kad-track"), "--syslog-ng=" + s.control}
	theirs := map[string][]string{
		"hello":         {filepath.Join(dir, "hello")},
		"syslog-ng-ctl": {"/bin/sh", "-c", testneed.Program(b, "syslog-ng-ctl") + " stats -c " + s.control},
	}
	for name, argv := range theirs {
		b.Run(name, func(b *testing.B) {
			var our, their []time.Duration
			for b.Loop() {
				our = append(our, process(b, ours))
				their = append(their, process(b, argv))
			}
			b.ReportMetric(float64(median(our))/1e6, "ms/kad-track")
			b.ReportMetric(float64(median(their))/1e6, "ms/"+name)
			b.ReportMetric(float64(median(our))/float64(median(their)), "ratio")
		})
	}
}

// process takes the time of a process from its start until it has ended.
func process(b *testing.B, argv []string) time.Duration {
	begin := time.Now()
	if err := exec.Command(argv[0], argv[1:]...).Run(); err != nil {
		b.Fatalf("%q: %v", argv, err)
	}
	return time.Since(begin)
}

// BenchmarkWatch takes the time from the death of syslog-ng until the track_file says so.
func BenchmarkWatch(b *testing.B) {
	s := startSyslogNG(b)
	_, file, _ := startWatch(b, "--syslog-ng="+s.control, "--interval", "100ms", "--rise", "1")
	var times []time.Duration
	for b.Loop() {
		b.StopTimer()
		says(b, file, "0\n")
		time.Sleep(150 * time.Millisecond) // a round later the process is watched
		b.StartTimer()
		begin := time.Now()
		if err := s.Process.Signal(syscall.SIGKILL); err != nil {
			b.Fatal(err)
		}
		for content(file) != "1\n" {
			time.Sleep(100 * time.Microsecond)
		}
		times = append(times, time.Since(begin))
		b.StopTimer()
		s.Wait()
		s.run(b)
		b.StartTimer()
	}
	b.ReportMetric(float64(median(times))/1e6, "ms/death")
	b.ReportMetric(float64(slices.Max(times))/1e6, "ms/death-max")
}

func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)/2]
}
