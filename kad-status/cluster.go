package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"kad/pkg/keepalived"
	"kad/pkg/output"
	"kad/pkg/vip"
)

// maxAnswer bounds what one host may print; 500 instances make about 1.5 MB.
const maxAnswer = 32 << 20

// A remote asks hosts for their view over a remote shell.
type remote struct {
	Shell   []string // command and arguments, the host and the remote command follow
	Command []string // kad-status on the host
	Timeout time.Duration
}

// An answer is what one host said, or why it said nothing.
type answer struct {
	Host  string    `json:"host"`
	Error string    `json:"error,omitempty"`
	View  *hostView `json:"view,omitempty"`
}

// ask asks all hosts side by side; a host that hangs costs its own timeout only.
func (r *remote) ask(ctx context.Context, hosts []string) []answer {
	answers := make([]answer, len(hosts))
	var wg sync.WaitGroup
	for i, host := range hosts {
		wg.Go(func() {
			view, err := r.askHost(ctx, host)
			answers[i] = answer{Host: host, View: view}
			if err != nil {
				answers[i].Error = err.Error()
			}
		})
	}
	wg.Wait()
	return answers
}

func (r *remote) askHost(ctx context.Context, host string) (*hostView, error) {
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	argv := slices.Concat(r.Shell, []string{host}, r.Command)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 100 * time.Millisecond
	stdout, stderr := &output.Head{Max: maxAnswer, Refuse: true}, &output.Head{Max: 1 << 20, Refuse: true}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	err := cmd.Run()
	switch {
	case stdout.Lost() > 0:
		return nil, fmt.Errorf("more than %d MiB of output", maxAnswer>>20)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, fmt.Errorf("no answer in %v", r.Timeout)
	case err != nil && len(stdout.Bytes()) == 0:
		return nil, errors.New(cmp.Or(strings.TrimPrefix(lastLine(string(stderr.Bytes())), "kad-status: "), err.Error()))
	}
	var view hostView
	switch err := json.Unmarshal(stdout.Bytes(), &view); {
	case err != nil:
		return nil, fmt.Errorf("not the output of kad-status: %s", firstBytes(stdout.Bytes()))
	case view.Schema != schema:
		return nil, fmt.Errorf("kad-status there speaks schema %d, here %d", view.Schema, schema)
	}
	return &view, nil
}

func lastLine(s string) string {
	s = strings.TrimRight(s, " \r\n")
	return s[strings.LastIndexByte(s, '\n')+1:]
}

func firstBytes(b []byte) string {
	if len(b) == 0 {
		return "nothing was printed"
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	return fmt.Sprintf("%.60q", line)
}

// Verdicts on a VIP of a cluster.
const (
	verdictOK      = "ok"
	splitBrain     = "SPLIT BRAIN"
	noHolder       = "NO HOLDER"
	verdictUnknown = "UNKNOWN" // nobody holds it, but not every host answered
)

// A clusterView is every VIP of a set of hosts: who holds it and what each host thinks.
type clusterView struct {
	Schema int          `json:"schema"`
	Time   time.Time    `json:"time"`
	VIPs   []clusterVIP `json:"vips"`
	Hosts  []answer     `json:"hosts"`
}

type clusterVIP struct {
	VIP     string                      `json:"vip"`
	Verdict string                      `json:"verdict"`
	Holders []string                    `json:"holders"`
	Live    map[string]keepalived.State `json:"live"` // by host; a host that does not carry the VIP is absent
}

func newClusterView(at time.Time, answers []answer) *clusterView {
	c := &clusterView{Schema: schema, Time: at, VIPs: []clusterVIP{}, Hosts: answers}
	index := map[string]int{}
	silent := false
	for _, a := range answers {
		if a.View == nil {
			silent = true
			continue
		}
		for _, d := range a.View.Keepalived {
			for _, r := range d.VIPs {
				if r.VIP != "" {
					c.vip(index, r.VIP).add(a.Host, &r)
				}
			}
		}
	}
	for i := range c.VIPs {
		c.VIPs[i].addStray(answers)
		c.VIPs[i].judge(silent)
	}
	slices.SortStableFunc(c.VIPs, func(a, b clusterVIP) int {
		x, _ := netip.ParseAddr(a.VIP)
		y, _ := netip.ParseAddr(b.VIP)
		return x.Compare(y)
	})
	return c
}

func (c *clusterView) vip(index map[string]int, name string) *clusterVIP {
	i, ok := index[name]
	if !ok {
		i = len(c.VIPs)
		index[name] = i
		c.VIPs = append(c.VIPs, clusterVIP{VIP: name, Holders: []string{}, Live: map[string]keepalived.State{}})
	}
	return &c.VIPs[i]
}

func (v *clusterVIP) add(host string, r *row) {
	if v.Live[host] != keepalived.Master {
		v.Live[host] = r.Live
	}
	if r.Status == active && !slices.Contains(v.Holders, host) {
		v.Holders = append(v.Holders, host)
	}
}

// addStray adds the hosts that hold v although no keepalived answers there.
func (v *clusterVIP) addStray(answers []answer) {
	a, err := netip.ParseAddr(v.VIP)
	if err != nil {
		return
	}
	for _, h := range answers {
		if h.View == nil || h.View.Error == "" {
			continue
		}
		if _, held := vip.Held(h.View.Addresses, a); held {
			v.Holders = append(v.Holders, h.Host)
		}
	}
}

func (v *clusterVIP) judge(silent bool) {
	switch {
	case len(v.Holders) > 1:
		v.Verdict = splitBrain
	case len(v.Holders) == 1:
		v.Verdict = verdictOK
	case silent:
		v.Verdict = verdictUnknown
	default:
		v.Verdict = noHolder
	}
}

// wrong reports whether a VIP has not exactly one holder, or a host did not answer.
func (c *clusterView) wrong() bool {
	return slices.ContainsFunc(c.VIPs, func(v clusterVIP) bool { return v.Verdict != verdictOK }) ||
		slices.ContainsFunc(c.Hosts, func(a answer) bool { return a.View == nil || a.View.Error != "" })
}

func (c *clusterView) write(w io.Writer, opt options) error {
	if opt.format == "json" {
		return writeJSON(w, c)
	}
	return c.writeTable(w, opt)
}

// writeTable prints a row per VIP, a column per host; and a row of their forwarders, where there are some.
func (c *clusterView) writeTable(w io.Writer, opt options) error {
	columns := []column{{"VIP", 16}, {"ACTIVE ON", 14}}
	for _, a := range c.Hosts {
		columns = append(columns, column{printable(a.Host), max(12, len(printable(a.Host))+2)})
	}
	columns = append(columns, column{"VERDICT", 13})
	rows := make([][]cell, len(c.VIPs))
	for i, v := range c.VIPs {
		cells := []cell{{text: v.VIP}, {cmp.Or(strings.Join(v.Holders, ","), "-"), green}}
		for _, a := range c.Hosts {
			cells = append(cells, a.liveCell(v))
		}
		shade := red
		if v.Verdict == verdictOK {
			shade = green
		}
		rows[i] = append(cells, cell{v.Verdict, shade})
	}
	if row := c.forwarderRow(); row != nil {
		rows = append(rows, row)
	}
	return writeTable(w, columns, rows, opt)
}

// forwarderRow shows the forwarder of each host, nil if there are none.
func (c *clusterView) forwarderRow() []cell {
	row := []cell{{text: "forwarder"}, {text: "-"}}
	verdict, found := cell{verdictOK, green}, false
	for _, a := range c.Hosts {
		if a.View == nil {
			row = append(row, unreachable)
			continue
		}
		row = append(row, a.View.Forwarder.cell())
		found = found || a.View.Forwarder != nil
		if a.View.forwarderProblem() != nil {
			verdict = cell{"FAILS", red}
		}
	}
	if !found {
		return nil
	}
	return append(row, verdict)
}

var unreachable = cell{"unreachable", yellow}

func (a *answer) liveCell(v clusterVIP) cell {
	if a.View == nil {
		return unreachable
	}
	state, ok := v.Live[a.Host]
	switch {
	case ok:
		return liveCell(state)
	case a.View.Error != "":
		return cell{"no answer", red}
	}
	return cell{text: "-"}
}

// lines lists what is wrong, for stderr: the cluster's troubles first, then each host's.
func (c *clusterView) lines() []string {
	var lines []string
	for _, v := range c.VIPs {
		switch v.Verdict {
		case splitBrain:
			lines = append(lines, fmt.Sprintf("%s: SPLIT BRAIN: held by %s", v.VIP, strings.Join(v.Holders, " and ")))
		case noHolder:
			lines = append(lines, fmt.Sprintf("%s: NO HOLDER", v.VIP))
		case verdictUnknown:
			lines = append(lines, fmt.Sprintf("%s: none of the hosts that answered holds it", v.VIP))
		}
	}
	for _, a := range c.Hosts {
		if a.View == nil {
			lines = append(lines, fmt.Sprintf("%s: unreachable: %s", a.Host, a.Error))
			continue
		}
		if a.View.Error != "" {
			lines = append(lines, fmt.Sprintf("%s: %s", a.Host, a.View.Error))
		}
		for _, p := range a.View.problems() {
			lines = append(lines, fmt.Sprintf("%s: %s", a.Host, p))
		}
	}
	return lines
}

// writeCheck prints the one line of a monitoring plugin for the whole cluster.
func (c *clusterView) writeCheck(w io.Writer) int {
	code, held := pluginOK, 0
	for _, v := range c.VIPs {
		if v.Verdict == verdictOK {
			held++
		} else {
			code = pluginCritical
		}
	}
	unreachable := 0
	for _, a := range c.Hosts {
		switch {
		case a.View == nil:
			unreachable++
			code = max(code, pluginWarning)
		case a.View.Error != "":
			code = pluginCritical
		default:
			code = max(code, worst(a.View.problems()))
		}
	}
	text := fmt.Sprintf("%d of %d VIPs have one holder", held, len(c.VIPs))
	if lines := c.lines(); len(lines) > 0 {
		text = strings.Join(lines, "; ")
	}
	return writePlugin(w, code, text, fmt.Sprintf("held=%d;;;0;%d unreachable=%d;;;0;%d", held, len(c.VIPs), unreachable, len(c.Hosts)))
}
