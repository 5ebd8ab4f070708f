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
