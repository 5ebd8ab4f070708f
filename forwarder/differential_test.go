package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestDifferential makes up configurations and sends the same messages to syslog-ng and to forwarder with the converted
// configuration: every destination has to get the same. Ten are the same each time; those for as long as KAD_DIFFERENTIAL says
// ("20m") are others, and a seed in KAD_SEED repeats a run.
func TestDifferential(t *testing.T) {
	theirs, ours := syslogNg(t), ourselves(t)
	seed, more := uint64(1), func(n int) bool { return n < 10 }
	if s := os.Getenv("KAD_DIFFERENTIAL"); s != "" {
		length, err := time.ParseDuration(s)
		if err != nil {
			t.Fatal(err)
		}
		end := time.Now().Add(length)
		seed, more = uint64(time.Now().UnixNano()), func(int) bool { return time.Now().Before(end) }
	}
	if s := os.Getenv("KAD_SEED"); s != "" {
		if _, err := fmt.Sscan(s, &seed); err != nil {
			t.Fatal(err)
		}
	}
	for n := 0; more(n); n++ {
		ok := t.Run(fmt.Sprint(seed+uint64(n)), func(t *testing.T) {
			fewAtATime <- struct{}{}
			defer func() { <-fewAtATime }()
			g := &generator{Rand: rand.New(rand.NewPCG(seed+uint64(n), 0))}
			config := g.config()
			dir := t.TempDir()
			for name, text := range map[string]string{"syslog-ng.conf": config, "input": g.messages(!g.dated), "input.2": g.messages(true), "case.json": allPorts} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			newRun(t, dir).record(theirs)
			newRun(t, dir).execute(ours)
			if t.Failed() {
				t.Logf("the configuration was\n%s", config)
			}
		})
		if !ok {
			return // each further one would cost the time of a failure
		}
	}
}

const allPorts = `{"send": [{"to": "tcp:PORT1"}, {"to": "tcp:PORT2", "file": "input.2"}], "sinks": {"d6": {"proto": "tcp", "port": "PORT3"}, "d7": {"proto": "tcp", "port": "PORT4"}}}`

// record makes what a program delivers the expectation of the case.
func (r *caseRun) record(p program) {
	r.drive(p)
	r.untilStill(700 * time.Millisecond)
	expect := filepath.Join(r.source, "expect")
	if err := os.Mkdir(expect, 0o700); err != nil {
		r.t.Fatal(err)
	}
	for name, text := range r.snapshot() {
		if err := os.WriteFile(filepath.Join(expect, name), []byte(text), 0o600); err != nil {
			r.t.Fatal(err)
		}
	}
}

// A generator makes up configurations: log paths of any shape, but for those where syslog-ng 3.38 has bugs that 4.1 fixed
// (something that refuses in or behind an if or a junction).
type generator struct {
	*rand.Rand
	rewrites int
	dated    bool
}

const preamble = `@version: 3.38
options { keep-hostname(yes); use-dns(no); chain-hostnames(no); stats-freq(0); };
filter f_mail { facility(mail); };
filter f_kern { facility(kern) or level(emerg..err); };
filter f_a { host("host-a") and not program("^b$"); };
`

var expressions = []string{
	`facility(mail)`, `facility(auth..local3)`, `level(info, debug)`, `level(err..emerg)`, `host("host-a")`, `program("^a$")`, `not host("b$" flags(ignore-case))`,
	`message("one|two")`, `message("TWO" flags(ignore-case))`, `match("^h" value("HOST"))`, `"$LEVEL_NUM" < "4"`, `"$PROGRAM" eq "c"`, `filter(f_a) or filter(f_kern)`,
	`not (facility(mail) and level(info)) or program("b" type(string))`, `tags("two")`, `message('\d{2,}')`, `"${nothing}" == ""`, `host("*-c" type(glob))`,
}

func pick(g *generator, from []string) string { return from[g.IntN(len(from))] }

func (g *generator) chance(percent int) bool { return g.IntN(100) < percent }

func (g *generator) config() string {
	var b strings.Builder
	protocol := ""
	if g.dated = g.chance(50); g.dated {
		protocol = "flags(syslog-protocol)"
	}
	b.WriteString(preamble)
	fmt.Fprintf(&b, "source s { network(ip(\"127.0.0.1\") port(@@PORT1@@) %s); };\n", g.sourceOptions())
	fmt.Fprintf(&b, "source s2 { network(ip(\"127.0.0.1\") port(@@PORT2@@) tags(\"two\") %s %s); };\n", protocol, g.sourceOptions())
	b.WriteString(g.destinations())
	for range 2 + g.IntN(5) {
		source := pick(g, []string{"source(s);", "source(s);", "source(s2);", "source(s); source(s2);"})
		fmt.Fprintf(&b, "log { %s %s };\n", source, g.path(1))
	}
	b.WriteString("log { source(s); source(s2); filter { program(\"no such one\"); }; };\n") // opens both
	return b.String()
}

// path is the inside of a log statement.
func (g *generator) path(depth int) string {
	var parts []string
	for range g.IntN(4) {
		parts = append(parts, g.item())
	}
	switch {
	case g.chance(35):
		parts = append(parts, g.branches(false))
		for range g.IntN(4) {
			parts = append(parts, g.harmless())
		}
	case depth < 4 && g.chance(60/depth):
		for range 1 + g.IntN(3) {
			parts = append(parts, "log { "+g.path(depth+1)+" };")
		}
	case g.chance(80):
		parts = append(parts, g.destination())
	}
	return strings.Join(append(parts, g.flags(depth == 1)), " ")
}

// item may refuse a message.
func (g *generator) item() string {
	switch g.IntN(8) {
	case 0, 1:
		return "filter(" + pick(g, []string{"f_mail", "f_kern", "f_a"}) + ");"
	case 2, 3:
		return "filter { " + pick(g, expressions) + "; };"
	case 4:
		return "parser { " + pick(g, parsers) + "; };"
	}
	return g.harmless()
}

// harmless lets every message through.
func (g *generator) harmless() string {
	if g.chance(40) {
		return g.destination()
	}
	return "rewrite { " + g.rewriting() + " };"
}

func (g *generator) destination() string { return fmt.Sprintf("destination(d%d);", g.IntN(8)) }

// branches is a junction or an if. Inside of an if no junction refuses a message.
func (g *generator) branches(inIf bool) string {
	plain := func(inIf bool) string {
		var parts []string
		for range g.IntN(3) {
			parts = append(parts, g.harmless())
		}
		if g.chance(15) {
			parts = append(parts, g.branches(inIf))
		}
		return strings.Join(parts, " ")
	}
	if g.chance(50) {
		var channels []string
		for range 1 + g.IntN(3) {
			channels = append(channels, "channel { "+g.item()+" "+plain(inIf)+" "+g.flags(false)+" };")
		}
		if inIf {
			channels = append(channels, "channel { };")
		}
		return "junction { " + strings.Join(channels, " ") + " };"
	}
	text := "if (" + pick(g, expressions) + ") { " + plain(true) + " }"
	if g.chance(40) {
		text += " elif (" + pick(g, expressions) + ") { " + plain(true) + " }"
	}
	if g.chance(60) {
		text += " else { " + plain(true) + " }"
	}
	return text + ";"
}

func (g *generator) flags(top bool) string {
	var flags []string
	for _, f := range []struct {
		name    string
		percent int
	}{{"final", 30}, {"fallback", 25}, {"drop-unmatched", 12}, {"flow-control", 10}} {
		if g.chance(f.percent) {
			flags = append(flags, f.name)
		}
	}
	if top && g.chance(10) {
		flags = append(flags, "catchall")
	}
	if flags == nil {
		return ""
	}
	return "flags(" + strings.Join(flags, pick(g, []string{", ", " ", ","})) + ");"
}
