// Command failover measures what the loss of a server costs: forwarder and syslog-ng send numbered messages to two sinks, the
// first one fails in one way or another, and what the sinks got is counted. All of it runs in a network namespace of its own.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

func main() {
	if len(os.Args) == 5 && os.Args[1] == "sink" {
		exit(sink(os.Args[2], os.Args[3], os.Args[4]))
	}
	b := &bench{}
	flag.IntVar(&b.runs, "runs", 3, "runs of each relay in each scenario, but at least ten of the first one")
	flag.IntVar(&b.rate, "rate", 20000, "messages a second")
	flag.StringVar(&b.binary, "forwarder", "bin/forwarder", "the `FILE` of forwarder")
	only := flag.String("only", "", "the scenarios whose names have this `TEXT`")
	flag.Parse()
	if os.Getenv(inside) == "" {
		exit(enter())
		return
	}
	exit(command("ip", "link", "set", "lo", "up"))
	fmt.Println("| scenario | relay | runs | lost (min median max) | twice (min median max) | took ms (min median max) |")
	fmt.Println("|---|---|--:|--:|--:|--:|")
	for i, s := range scenarios {
		if strings.Contains(s.name, *only) {
			exit(b.measure(s, i == 0))
		}
	}
}

// inside is set in the environment of the command in its namespace.
const inside = "KAD_FAILOVER"

// enter runs the command again, in a network namespace.
func enter() error {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	return cmd.Run()
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "failover:", err)
		os.Exit(1)
	}
}

func command(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// A bench is what the flags ask for.
type bench struct {
	runs, rate int
	binary     string
}

// measure prints the rows of a scenario.
func (b *bench) measure(s scenario, often bool) error {
	relays := []string{"forwarder", "syslog-ng"}
	if s.alone {
		relays = relays[:1]
	}
	runs := b.runs
	if often {
		runs = max(10, runs)
	}
	for _, relay := range relays {
		var lost, twice, took []int
		for range runs {
			r, err := b.run(s, relay)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", s.name, relay, err)
			}
			lost, twice, took = append(lost, r.lost), append(twice, r.twice), append(took, int(r.took.Microseconds()))
		}
		fmt.Printf("| %s | %s | %d | %s | %s | %s |\n", s.name, relay, runs, spread(lost, 1), spread(twice, 1), spread(took, 1000))
	}
	return nil
}

// spread is the least, the median and the largest, each divided by unit.
func spread(list []int, unit float64) string {
	slices.Sort(list)
	return fmt.Sprintf("%.5g %.5g %.5g", float64(list[0])/unit, float64(list[len(list)/2])/unit, float64(list[len(list)-1])/unit)
}

func (b *bench) run(s scenario, relay string) (result, error) {
	dir, err := os.MkdirTemp("", "failover")
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(dir)
	t := &trial{bench: b, scenario: s, relay: relay, dir: dir}
	defer t.end()
	r, err := t.run()
	if err != nil {
		said, _ := os.ReadFile(filepath.Join(dir, "log"))
		err = fmt.Errorf("%w\n%s", err, said[max(0, len(said)-2000):])
	}
	return r, err
}
