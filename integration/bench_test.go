package integration

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kad/integration/lab"
)

// BenchmarkStatus runs kad-status and, in turn with it, takes the time that keepalived
// itself needs from the signal to the closed dump. The bound is what a user may expect:
// one and a half times that, and 5 ms for a process to start, look and print.
func BenchmarkStatus(b *testing.B) {
	p := lab.NewPair(b, bin, "../examples")
	p.Up()
	h := p.Loghost01
	vrrp, err := onlyChild(h.PID(lab.Keepalived))
	if err != nil {
		b.Fatal(err)
	}
	var dumps, tools []time.Duration
	b.ResetTimer()
	err = h.Do(func() error {
		for b.Loop() {
			dump, err := dumpTime(vrrp)
			if err != nil {
				return err
			}
			started := time.Now()
			if out, err := exec.Command("/usr/local/bin/kad-status").CombinedOutput(); err != nil {
				return fmt.Errorf("kad-status: %w\n%s", err, out)
			}
			dumps, tools = append(dumps, dump), append(tools, time.Since(started))
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	dump, tool := median(dumps), median(tools)
	b.ReportMetric(milliseconds(dump), "ms/dump")
	b.ReportMetric(milliseconds(tool), "ms/kad-status")
	b.ReportMetric(float64(tool)/float64(dump*3/2+5*time.Millisecond), "of-bound")
}

// dumpTime asks keepalived for a dump and waits until it has closed the file.
func dumpTime(vrrp int) (time.Duration, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		return 0, err
	}
	events := os.NewFile(uintptr(fd), "inotify")
	defer events.Close()
	if _, err := unix.InotifyAddWatch(fd, "/tmp", unix.IN_CLOSE_WRITE); err != nil {
		return 0, err
	}
	started := time.Now()
	if err := unix.Kill(vrrp, unix.SIGUSR1); err != nil {
		return 0, err
	}
	_, err = events.Read(make([]byte, 4096))
	return time.Since(started), err
}

func onlyChild(pid int) (int, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(data)))
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
