package stats

import (
	"bytes"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A figure is a metric of the process or of the runtime, which has one value.
type figure struct {
	name, help string
	kind       kind
	value      float64
}

func (e exposition) figures(list []figure) exposition {
	for _, f := range list {
		e = e.family(f.name, f.help, f.kind).sample(f.name, f.value, nil)
	}
	return e
}

// process appends what Linux knows of the process, under the names that the clients of Prometheus have for it.
func (e exposition) process() exposition {
	stat := statOf("/proc/self/stat")
	in, out := octets("/proc/self/net/netstat")
	return e.figures([]figure{
		{"process_cpu_seconds_total", "User and system time of the process.", counter, cpuSeconds()},
		{"process_max_fds", "File descriptors that the process may open.", gauge, limit(syscall.RLIMIT_NOFILE)},
		{"process_network_receive_bytes_total", "Bytes that the network namespace of the process has received.", counter, in},
		{"process_network_transmit_bytes_total", "Bytes that the network namespace of the process has sent.", counter, out},
		{"process_open_fds", "File descriptors that are open.", gauge, openFiles()},
		{"process_resident_memory_bytes", "Resident memory of the process.", gauge, stat.field(24) * float64(os.Getpagesize())},
		{"process_start_time_seconds", "When the process was started, since 1970.", gauge, bootTime("/proc/stat") + stat.field(22)/ticks},
		{"process_virtual_memory_bytes", "Virtual memory of the process.", gauge, stat.field(23)},
		{"process_virtual_memory_max_bytes", "Virtual memory that the process may have.", gauge, limit(syscall.RLIMIT_AS)},
	})
}

// ticks are in a second of /proc: USER_HZ, the same on all architectures that Go knows.
const ticks = 100

// A stat is /proc/PID/stat behind the name of the program: field 3 and those after it.
type stat []string

func statOf(path string) stat {
	text, _ := os.ReadFile(path) // without it the figures are 0
	return strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
}

// field is one as proc_pid_stat(5) counts them.
func (s stat) field(n int) float64 {
	if n -= 3; n >= len(s) {
		return 0
	}
	return number(s[n])
}

func number(text string) float64 {
	v, _ := strconv.ParseFloat(text, 64) // of the kernel
	return v
}

func cpuSeconds() float64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // cannot fail
	return (time.Duration(u.Utime.Nano()) + time.Duration(u.Stime.Nano())).Seconds()
}

func limit(resource int) float64 {
	var l syscall.Rlimit
	_ = syscall.Getrlimit(resource, &l) // cannot fail
	return float64(l.Cur)
}

func openFiles() float64 {
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		return 0
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	return float64(max(0, len(names)-1)) // without dir
}

// bootTime is when the machine was started, in seconds since 1970.
func bootTime(path string) float64 {
	text, _ := os.ReadFile(path)
	for line := range strings.Lines(string(text)) {
		if at, ok := strings.CutPrefix(line, "btime "); ok {
			return number(strings.TrimSpace(at))
		}
	}
	return 0
}

// octets are the bytes of IP: a line of names and one of values, both of which begin with what they are about.
func octets(path string) (in, out float64) {
	text, _ := os.ReadFile(path)
	var names []string
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != "IpExt:" {
			continue
		}
		for i := range min(len(names), len(fields)) {
			switch names[i] {
			case "InOctets":
				in = number(fields[i])
			case "OutOctets":
				out = number(fields[i])
			}
		}
		names = fields
	}
	return in, out
}

// runtime appends what Go's runtime knows of itself, under the names that the client of Prometheus for Go has for it.
func (e exposition) runtime() exposition {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	threads, _ := runtime.ThreadCreateProfile(nil)
	e = e.pauses()
	e = e.family("go_info", "The version of Go.", gauge).sample("go_info", 1, []string{label("version", runtime.Version())})
	return e.figures([]figure{
		{"go_gc_gogc_percent", "GOGC.", gauge, gogc(os.Getenv("GOGC"))},
		{"go_gc_gomemlimit_bytes", "GOMEMLIMIT.", gauge, float64(debug.SetMemoryLimit(-1))},
		{"go_goroutines", "Goroutines.", gauge, float64(runtime.NumGoroutine())},
		{"go_memstats_alloc_bytes", "Bytes of the heap that are in use.", gauge, float64(m.Alloc)},
		{"go_memstats_alloc_bytes_total", "Bytes that were allocated in the heap.", counter, float64(m.TotalAlloc)},
		{"go_memstats_buck_hash_sys_bytes", "Bytes of the table of profiles.", gauge, float64(m.BuckHashSys)},
		{"go_memstats_frees_total", "Objects of the heap that were freed.", counter, float64(m.Frees)},
		{"go_memstats_gc_sys_bytes", "Bytes that garbage collection needs for itself.", gauge, float64(m.GCSys)},
		{"go_memstats_heap_alloc_bytes", "The same as go_memstats_alloc_bytes.", gauge, float64(m.HeapAlloc)},
		{"go_memstats_heap_idle_bytes", "Bytes of the heap that wait to be used.", gauge, float64(m.HeapIdle)},
		{"go_memstats_heap_inuse_bytes", "Bytes of the heap's parts that have something in use.", gauge, float64(m.HeapInuse)},
		{"go_memstats_heap_objects", "Objects of the heap.", gauge, float64(m.HeapObjects)},
		{"go_memstats_heap_released_bytes", "Bytes of the heap that the kernel has back.", gauge, float64(m.HeapReleased)},
		{"go_memstats_heap_sys_bytes", "Bytes of the heap.", gauge, float64(m.HeapSys)},
		{"go_memstats_last_gc_time_seconds", "When garbage was collected last, since 1970.", gauge, float64(m.LastGC) / 1e9},
		{"go_memstats_mallocs_total", "Objects that were allocated in the heap.", counter, float64(m.Mallocs)},
		{"go_memstats_mcache_inuse_bytes", "Bytes of the processors' caches in use.", gauge, float64(m.MCacheInuse)},
		{"go_memstats_mcache_sys_bytes", "Bytes of the processors' caches.", gauge, float64(m.MCacheSys)},
		{"go_memstats_mspan_inuse_bytes", "Bytes of descriptions of the heap's parts in use.", gauge, float64(m.MSpanInuse)},
		{"go_memstats_mspan_sys_bytes", "Bytes of descriptions of the heap's parts.", gauge, float64(m.MSpanSys)},
		{"go_memstats_next_gc_bytes", "Bytes of the heap at which garbage is collected next.", gauge, float64(m.NextGC)},
		{"go_memstats_other_sys_bytes", "Other bytes of the runtime.", gauge, float64(m.OtherSys)},
		{"go_memstats_stack_inuse_bytes", "Bytes of stacks in use.", gauge, float64(m.StackInuse)},
		{"go_memstats_stack_sys_bytes", "Bytes of stacks.", gauge, float64(m.StackSys)},
		{"go_memstats_sys_bytes", "Bytes that the kernel gave.", gauge, float64(m.Sys)},
		{"go_sched_gomaxprocs_threads", "Threads that execute Go at once, at most.", gauge, float64(runtime.GOMAXPROCS(0))},
		{"go_threads", "Threads that were created.", gauge, float64(threads)},
	})
}

// pauses appends how long garbage collection has stopped all.
func (e exposition) pauses() exposition {
	const name = "go_gc_duration_seconds"
	quantiles := debug.GCStats{PauseQuantiles: make([]time.Duration, 5)}
	debug.ReadGCStats(&quantiles)
	e = e.family(name, "Pauses of garbage collections.", summary)
	for i, q := range quantiles.PauseQuantiles {
		e = e.sample(name, q.Seconds(), []string{label("quantile", strconv.FormatFloat(float64(i)/4, 'g', -1, 64))})
	}
	return e.sample(name+"_sum", quantiles.PauseTotal.Seconds(), nil).sample(name+"_count", float64(quantiles.NumGC), nil)
}

// gogc is GOGC as the runtime takes it.
func gogc(value string) float64 {
	if value == "off" {
		return -1
	}
	if percent, err := strconv.ParseInt(value, 10, 32); err == nil {
		return float64(percent)
	}
	return 100
}
