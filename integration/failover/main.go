// Command failover measures what the death of a server costs: forwarder and syslog-ng send numbered lines to two sinks, the
// first one is killed with SIGKILL, and what the sinks got is counted.
package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const forwarderConfig = `[source.s]
driver = "network"
ip = "127.0.0.1"
port = %[1]d
[destination.d]
driver = "network"
address = "127.0.0.1"
port = %[2]d
time_reopen = "1s"
[destination.d.failover]
servers = ["127.0.0.2"]
[log.l]
source = ["s"]
destination = ["d"]
flags = ["flow_control"]
`

const syslogNGConfig = `@version: 3.38
options { time-reopen(1); stats-freq(0); };
source s { network(ip("127.0.0.1") port(%[1]d)); };
destination d { network("127.0.0.1" port(%[2]d) failover(servers("127.0.0.2"))); };
log { source(s); destination(d); flags(flow-control); };
`

func main() {
	if len(os.Args) == 4 && os.Args[1] == "sink" {
		exit(sink(os.Args[2], os.Args[3]))
	}
	runs := flag.Int("runs", 10, "runs of each relay")
	rate := flag.Int("rate", 20000, "messages a second")
	binary := flag.String("forwarder", "bin/forwarder", "the `FILE` of forwarder")
	flag.Parse()
	fmt.Println("relay      runs  lost (min median max)  twice (min median max)  switch (min median max)")
	for _, relay := range []string{"forwarder", "syslog-ng"} {
		var lost, twice, took []int
		for range *runs {
			r, err := run(relay, *binary, *rate)
			exit(err)
			lost, twice, took = append(lost, r.lost), append(twice, r.twice), append(took, int(r.took.Microseconds()))
		}
		fmt.Printf("%-9s  %4d  %s  %s  %s µs\n", relay, *runs, spread(lost), spread(twice), spread(took))
	}
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "failover:", err)
		os.Exit(1)
	}
}

func spread(list []int) string {
	slices.Sort(list)
	return fmt.Sprintf("%6d %6d %6d", list[0], list[len(list)/2], list[len(list)-1])
}

// sink writes to a file when it got the first bytes, in nanoseconds, and then all that it gets.
func sink(address, path string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	conn, err := l.Accept()
	if err != nil {
		return err
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	b := make([]byte, 64<<10)
	for first := true; ; first = false {
		n, err := conn.Read(b)
		if first {
			fmt.Fprintln(file, time.Now().UnixNano())
		}
		if _, err := file.Write(b[:n]); err != nil {
			return err
		}
		if err != nil {
			return nil
		}
	}
}

type result struct {
	lost, twice int
	took        time.Duration
}

func run(relay, binary string, rate int) (r result, err error) {
	dir, err := os.MkdirTemp("", "failover")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	in, out := freePort(), freePort()
	var sinks []*exec.Cmd
	for i := range 2 {
		s, err := start("/proc/self/exe", "sink", fmt.Sprintf("127.0.0.%d:%d", i+1, out), filepath.Join(dir, strconv.Itoa(i)))
		if err != nil {
			return r, err
		}
		defer end(s)
		sinks = append(sinks, s)
	}
	time.Sleep(100 * time.Millisecond)
	config := filepath.Join(dir, "config")
	text, args := forwarderConfig, []string{binary, "run", "--config", config}
	if relay == "syslog-ng" {
		text = syslogNGConfig
		args = []string{"syslog-ng", "-F", "-f", config, "-R", dir + "/persist", "-c", dir + "/ctl", "--pidfile", dir + "/pid"}
	}
	if err := os.WriteFile(config, fmt.Appendf(nil, text, in, out), 0o600); err != nil {
		return r, err
	}
	daemon, err := start(args[0], args[1:]...)
	if err != nil {
		return r, err
	}
	defer end(daemon)
	conn, err := dial(in)
	if err != nil {
		return r, err
	}
	defer conn.Close()
	killed := time.Time{}
	total := 2 * rate
	began := time.Now()
	for n := 0; n < total; {
		var b []byte
		for end := min(total, int(time.Since(began).Seconds()*float64(rate))); n < end; n++ {
			b = fmt.Appendf(b, "<13>Nov 22 10:00:00 h p: %08d %s\n", n, strings.Repeat("x", 150))
		}
		if _, err := conn.Write(b); err != nil {
			return r, err
		}
		if n > total/2 && killed.IsZero() {
			killed = time.Now()
			end(sinks[0])
		}
		time.Sleep(time.Millisecond)
	}
	return count(dir, total, killed)
}

// count waits until no more comes, and counts the numbers that came.
func count(dir string, total int, killed time.Time) (r result, err error) {
	size := int64(-1)
	for {
		time.Sleep(1500 * time.Millisecond)
		info, err := os.Stat(filepath.Join(dir, "1"))
		if err != nil {
			return r, err
		}
		if info.Size() == size {
			break
		}
		size = info.Size()
	}
	times := make([]int, total)
	for i := range 2 {
		data, err := os.ReadFile(filepath.Join(dir, strconv.Itoa(i)))
		if err != nil {
			return r, err
		}
		lines := bufio.NewScanner(bytes.NewReader(data[:bytes.LastIndexByte(data, '\n')+1]))
		lines.Scan()
		first, err := strconv.ParseInt(lines.Text(), 10, 64)
		if err != nil {
			return r, err
		}
		r.took = time.Unix(0, first).Sub(killed)
		for lines.Scan() {
			_, text, _ := strings.Cut(lines.Text(), " p: ")
			if n, err := strconv.Atoi(text[:min(8, len(text))]); err == nil {
				times[n]++
			}
		}
	}
	for _, n := range times {
		if n == 0 {
			r.lost++
		}
		r.twice += max(0, n-1)
	}
	return r, nil
}

func start(name string, args ...string) (*exec.Cmd, error) {
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd, cmd.Start()
}

func end(cmd *exec.Cmd) {
	_ = cmd.Process.Kill() // it may have ended
	_ = cmd.Wait()
}

func freePort() int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	exit(err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func dial(port int) (conn net.Conn, err error) {
	for range 100 {
		if conn, err = net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return conn, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return nil, err
}
