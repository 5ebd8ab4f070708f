package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of times in /proc: USER_HZ is 100 on all architectures that Go runs on.
const tick = 10 * time.Millisecond

// descendants are a process and all that descend from it.
func descendants(pid int) []int {
	all := []int{pid}
	for i := 0; i < len(all); i++ {
		tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", all[i]))
		if err != nil {
			continue // it has ended
		}
		for _, task := range tasks {
			children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", all[i], task.Name())) // the same
			for child := range strings.FieldsSeq(string(children)) {
				if n, err := strconv.Atoi(child); err == nil {
					all = append(all, n)
				}
			}
		}
	}
	return all
}

// cpuTime is what a process and its descendants have used, in user and system time.
func cpuTime(pid int) (total time.Duration) {
	for _, p := range descendants(pid) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p))
		if err != nil {
			continue
		}
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])) // from the third of proc_pid_stat(5) on
		for _, field := range fields[11:13] {
			n, _ := strconv.Atoi(field) // the kernel wrote it
			total += time.Duration(n) * tick
		}
	}
	return total
}

// machineTime is what all processes have used.
func machineTime() (total time.Duration) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(stat), "\n")
	for i, field := range strings.Fields(line)[1:] {
		if i == 3 || i == 4 || i >= 7 { // idle, iowait, and what is no work of ours
			continue
		}
		n, _ := strconv.Atoi(field) // the kernel wrote it
		total += time.Duration(n) * tick
	}
	return total
}

// A meter tells what a process uses from its start on.
type meter struct {
	pid                int
	start              time.Time
	used, own, machine time.Duration
}

func (s *stage) meter() meter {
	pid := s.proc.Process.Pid
	used := cpuTime(pid)
	return meter{pid, time.Now(), used, cpuTime(os.Getpid()) - used, machineTime()}
}

// stop gives the CPU time of the process and our own, and how many processors neither used.
func (m meter) stop() (used, own time.Duration, others float64) {
	used = cpuTime(m.pid)
	own = cpuTime(os.Getpid()) - used - m.own
	used -= m.used
	return used, own, max(0, (machineTime()-m.machine-used-own).Seconds()/time.Since(m.start).Seconds())
}

// settle waits until the process writes nothing more, and gives the time from the start until then.
func (m meter) settle() time.Duration {
	const idle, noise = 300 * time.Millisecond, 64 << 10 // it may log, and look for its destination
	last, bytes := time.Since(m.start), written(m.pid)
	for time.Since(m.start)-last < idle {
		time.Sleep(5 * time.Millisecond)
		if n := written(m.pid); n > bytes+noise {
			last, bytes = time.Since(m.start), n
		}
	}
	return last
}

// peakRSS is the most memory that a process and its descendants have held, in KiB.
func peakRSS(pid int) (total int) {
	for _, p := range descendants(pid) {
		status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p)) // nothing: it has ended
		for line := range strings.Lines(string(status)) {
			if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
				n, _ := strconv.Atoi(strings.Fields(value)[0]) // the kernel wrote it
				total += n
			}
		}
	}
	return total
}

// written is how many bytes a process and its descendants have given to write calls.
func written(pid int) (total int) {
	for _, p := range descendants(pid) {
		io, _ := os.ReadFile(fmt.Sprintf("/proc/%d/io", p)) // nothing: it has ended
		for line := range strings.Lines(string(io)) {
			if value, ok := strings.CutPrefix(line, "wchar: "); ok {
				n, _ := strconv.Atoi(strings.TrimSpace(value)) // the kernel wrote it
				total += n
			}
		}
	}
	return total
}
