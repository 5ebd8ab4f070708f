// Command demo shows what kad is for, on a pair of relays that it makes in namespaces of this machine:
// normal operation, a dead syslog-ng or forwarder, the recovery. At each step it asks kad's tools and ip, and it exits 1
// when they say anything else than they should, or a message got lost. Run it from the top directory of the project. An
// interrupted demo leaves nothing behind, as a lab ends with its process.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"kad/integration/lab"
)

func main() {
	bin := flag.String("bin", "bin", "`directory` of kad's programs")
	examples := flag.String("examples", "examples", "`directory` of the relays' configurations")
	forwarder := flag.Bool("forwarder", false, "show the relays with forwarder in the place of syslog-ng")
	os.Exit(lab.Main(func() int {
		flag.Parse()
		d := &demo{
			out:   os.Stdout,
			color: isTerminal(os.Stdout) && os.Getenv("NO_COLOR") == "",
			began: time.Now(),
		}
		if *forwarder {
			return d.run(func() { d.showForwarder(*bin, *examples) })
		}
		return d.run(func() { d.showSyslogNG(*bin, *examples) })
	}))
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// demo is one run, and the lab's TB.
type demo struct {
	out      io.Writer
	color    bool
	began    time.Time
	pair     *lab.Pair
	checks   int
	wrong    int
	cleanups []func()
}

// run shows everything and returns the exit code.
func (d *demo) run(show func()) (code int) {
	defer func() {
		for _, f := range slices.Backward(d.cleanups) {
			f()
		}
	}()
	defer func() {
		switch end := recover().(type) {
		case nil:
		case ended:
			fmt.Fprintf(os.Stderr, "demo: %s\n", end)
			code = 1
		default:
			panic(end)
		}
	}()
	show()
	if d.wrong > 0 {
		d.step(red, fmt.Sprintf("%d of %d answers were wrong.", d.wrong, d.checks))
		return 1
	}
	d.step(green, fmt.Sprintf("All %d answers were right.", d.checks))
	return 0
}

func (d *demo) showSyslogNG(bin, examples string) {
	d.step(bold, "Start keepalived and syslog-ng on two relays, loghost01 and loghost02, with the files of examples/.")
	d.pair = lab.NewPair(d, bin, examples)
	d.pair.Up()

	d.step(bold, "Normal operation: each relay is MASTER of a VIP and holds it.")
	d.tables(lab.Normal)

	d.step(bold, "Kill syslog-ng on loghost02: kad-track fails there, so keepalived lets the VIP go.")
	killed := time.Now()
	d.pair.Loghost02.Kill(lab.SyslogNG)
	d.say("loghost01 has 192.168.245.101 too, %s after the kill.", seconds(d.pair.Await(lab.Down).Sub(killed)))
	d.tables(lab.Down)

	d.step(bold, "Start syslog-ng on loghost02 again: kad-track succeeds, and the VIP comes home.")
	started := time.Now()
	d.pair.Loghost02.Start(lab.SyslogNG)
	d.say("loghost02 has 192.168.245.101 again, %s after the start.", seconds(d.pair.Await(lab.Normal).Sub(started)))

	d.step(bold, "The cluster view: ask both relays at once, over ssh, or here with a script that enters their namespaces.")
	d.cluster()
}

// cluster shows the cluster view, in which each VIP must have one holder.
func (d *demo) cluster() {
	view := d.pair.Cluster()
	d.print("# kad-status --rsh SCRIPT loghost01 loghost02", view)
	d.check(view.Code == 0, fmt.Sprintf("exit code %d, though each VIP has one holder", view.Code))
}

// tables shows both relays and holds what kad-status prints against the specification.
func (d *demo) tables(s lab.Situation) {
	for _, h := range d.pair.Relays() {
		got, want := h.Run("kad-status"), s.Table(h)
		d.print(h.Name+":~ # kad-status", got)
		d.check(lab.SameTable(got.Stdout, want), "the specification has\n"+want)
		d.print(h.Name+":~ # ip -br addr", h.Run("ip", "-br", "addr"))
	}
}

func (d *demo) check(right bool, complaint string) {
	d.checks++
	if !right {
		d.wrong++
		d.say("%s", d.paint(red, "WRONG: "+complaint))
	}
}

// step begins a part of the demo, with the time since its start.
func (d *demo) step(style, text string) {
	d.say("\n%s", d.paint(style, fmt.Sprintf("[%6s] %s", seconds(time.Since(d.began)), text)))
}

// print shows a command at its prompt and what it printed.
func (d *demo) print(command string, r lab.Result) {
	fmt.Fprintf(d.out, "\n%s\n%s%s", d.paint(cyan, command), r.Stdout, r.Stderr)
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, format+"\n", args...) }

func seconds(t time.Duration) string { return fmt.Sprintf("%.1f s", t.Seconds()) }

// Styles of a terminal (ECMA-48, SGR).
const (
	bold  = "1"
	red   = "1;31"
	green = "1;32"
	cyan  = "36"
)

func (d *demo) paint(style, text string) string {
	if !d.color {
		return text
	}
	return "\x1b[" + style + "m" + text + "\x1b[0m"
}

// ended is why the lab ended the demo.
type ended string

func (d *demo) Helper()                           {}
func (d *demo) Cleanup(f func())                  { d.cleanups = append(d.cleanups, f) }
func (d *demo) Logf(format string, args ...any)   { d.say(format, args...) }
func (d *demo) Skipf(format string, args ...any)  { d.Fatalf(format, args...) }
func (d *demo) Fatalf(format string, args ...any) { panic(ended(fmt.Sprintf(format, args...))) }
