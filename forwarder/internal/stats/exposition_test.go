package stats

import (
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestExposition(t *testing.T) {
	h := NewHistogram(.5, 10)
	h.Observe(.25, 2)
	h.Observe(11, 1)
	e := exposition(nil).family("a_total", "What it is.", counter)
	e = e.value("a_total", uint64(1)<<40, labels([]string{"b", "a"}, []string{"x\\y\"\nz", "\xff"}))
	e = e.value("a_total", 0, nil).value("a_total", int64(-3), nil).value("a_total", math.Inf(1), nil)
	e = e.value("h", &h, []string{`d="e"`})
	want := `# HELP a_total What it is.
# TYPE a_total counter
a_total{a="` + "\uFFFD" + `",b="x\\y\"\nz"} 1.099511627776e+12
a_total 0
a_total -3
a_total +Inf
h_bucket{d="e",le="0.5"} 2
h_bucket{d="e",le="10"} 2
h_bucket{d="e",le="+Inf"} 3
h_sum{d="e"} 11.5
h_count{d="e"} 3
`
	if got := string(e); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// The figures of the process and the runtime are there, and those that cannot be 0 are not.
func TestProcess(t *testing.T) {
	started := float64(time.Now().Unix()) - number(firstField(t, "/proc/uptime")) // of the machine
	got := string(exposition(nil).process().runtime())
	for _, name := range []string{
		"process_max_fds", "process_open_fds", "process_resident_memory_bytes", "process_virtual_memory_bytes",
		"process_virtual_memory_max_bytes", "go_gc_gomemlimit_bytes", "go_goroutines", "go_memstats_heap_alloc_bytes", "go_threads",
	} {
		if !regexp.MustCompile(`(?m)^` + name + ` [1-9]`).MatchString(got) {
			t.Errorf("no %s", name)
		}
	}
	m := regexp.MustCompile(`(?m)^process_start_time_seconds (\S+)$`).FindStringSubmatch(got)
	if m == nil || number(m[1]) < started-60 || number(m[1]) > float64(time.Now().Unix())+60 {
		t.Errorf("started at %q, the machine at %v", m, started)
	}
	if t.Failed() {
		t.Log(got)
	}
}

func firstField(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(text))[0]
}

func TestProcFiles(t *testing.T) {
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	s := statOf(file("7 (a ) b) S 1 7 7"))
	if s.field(4) != 1 || s.field(24) != 0 {
		t.Errorf("got %q", s)
	}
	in, out := octets(file("TcpExt: InOctets\nTcpExt: 1\nIpExt: InNoRoutes InOctets OutOctets More\nIpExt: 0 22 33\n"))
	if in != 22 || out != 33 {
		t.Errorf("got %v and %v bytes", in, out)
	}
	if at := bootTime(file("cpu 1 2\nbtime 1700000000\n")); at != 1700000000 {
		t.Errorf("booted at %v", at)
	}
	for value, want := range map[string]float64{"": 100, "50": 50, "off": -1, "x": 100} {
		if got := gogc(value); got != want {
			t.Errorf("GOGC=%s: got %v", value, got)
		}
	}
}
