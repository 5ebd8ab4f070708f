package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"kad/pkg/keepalived"
)

// The exit codes of a monitoring plugin (Monitoring Plugins Development Guidelines).
const (
	pluginOK = iota
	pluginWarning
	pluginCritical
	pluginUnknown
)

var pluginWords = [...]string{"OK", "WARNING", "CRITICAL", "UNKNOWN"}

// writeCheck prints the one line of a monitoring plugin, with performance data, and
// returns its exit code.
func (h *hostView) writeCheck(w io.Writer) int {
	problems := h.problems()
	code := worst(problems)
	var vips, held, fault int
	for _, d := range h.Keepalived {
		for _, r := range d.VIPs {
			if r.VIP != "" {
				vips++
			}
			if r.Status == active {
				held++
			}
		}
		for _, in := range d.Dump.Instances {
			if in.State == keepalived.Fault {
				fault++
			}
		}
	}
	text := fmt.Sprintf("%d of %d VIPs are here", held, vips)
	if len(problems) > 0 {
		text = problemLine(problems)
	}
	return writePlugin(w, code, text, fmt.Sprintf("active=%d;;;0;%d fault=%d;;;0 problems=%d;;;0", held, vips, fault, len(problems)))
}

func worst(problems []problem) int {
	code := pluginOK
	for _, p := range problems {
		code = max(code, int(p.Severity))
	}
	return code
}

func problemLine(problems []problem) string {
	lines := make([]string, len(problems))
	for i, p := range problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "; ")
}

// writePlugin prints "KEEPALIVED WORD - text | perfdata"; a | in the text would end it.
func writePlugin(w io.Writer, code int, text, perfdata string) int {
	text = strings.ReplaceAll(printable(text), "|", "/")
	if perfdata != "" {
		perfdata = " | " + perfdata
	}
	fmt.Fprintf(w, "KEEPALIVED %s - %s%s\n", pluginWords[code], text, perfdata)
	return code
}

var prometheusStates = []keepalived.State{
	keepalived.Init, keepalived.Backup, keepalived.Master, keepalived.Fault, keepalived.Stop,
}

// writePrometheus prints the view in the text format that node_exporter's textfile
// collector reads.
func (h *hostView) writePrometheus(w io.Writer) error {
	m := metrics{}
	m.add("kad_keepalived_up", "1 when a keepalived answered.", bit(h.Error == ""))
	for _, d := range h.Keepalived {
		base := []string{"keepalived", d.Name, "net_namespace", d.NetNamespace}
		m.daemon(base, &d)
	}
	if h.Forwarder != nil {
		m.add("kad_forwarder_healthy", "1 when the forwarder of this host says that messages go on.", bit(h.Forwarder.Health == forwarderOK))
	}
	m.add("kad_status_time_seconds", "When keepalived was asked, in Unix time.", float64(h.Time.UnixMilli())/1000)
	_, err := io.WriteString(w, m.text())
	return err
}

func (m *metrics) daemon(base []string, d *daemonView) {
	seen := map[string]bool{}
	for _, r := range d.VIPs {
		instance := with(base, "instance", r.Instance)
		if r.VIP != "" {
			m.add("kad_vip_active", "1 when the VIP is on an interface of this host.", bit(r.Status == active),
				with(instance, "vip", r.VIP, "interface", r.Interface, "configured_state", string(r.State))...)
		}
		if seen[r.Instance] {
			continue
		}
		seen[r.Instance] = true
		for _, s := range prometheusStates {
			m.add("kad_vrrp_state", "1 for the state that the VRRP instance is in.", bit(r.Live == s), with(instance, "state", string(s))...)
		}
		m.add("kad_vrrp_priority", "Base priority of the VRRP instance.", float64(r.Priority), instance...)
		m.add("kad_vrrp_effective_priority", "Priority of the VRRP instance after its trackers' weights.", float64(r.Effective), instance...)
		m.add("kad_vrrp_last_transition_seconds", "Last state change of the VRRP instance, in Unix time.", unixSeconds(r.Since), instance...)
		for _, t := range r.Tracking {
			m.add("kad_vrrp_tracker_good", "1 when the tracker's last verdict is GOOD.", bit(t.Status == "GOOD"), with(instance, "kind", t.Kind, "tracker", t.Name)...)
		}
	}
	for _, s := range []severity{warning, critical} {
		n := 0
		for _, p := range d.Problems {
			if p.Severity == s {
				n++
			}
		}
		word, _ := s.MarshalText()
		m.add("kad_problems", "Things that kad-status finds wrong.", float64(n), with(base, "severity", string(word))...)
	}
}

// metrics collects samples by metric, as the exposition format wants them grouped.
type metrics struct {
	names   []string
	samples map[string]*strings.Builder
}

// add appends a sample; labels are name, value, name, value ..., empty values left out.
func (m *metrics) add(name, help string, value float64, labels ...string) {
	b := m.samples[name]
	if b == nil {
		if m.samples == nil {
			m.samples = map[string]*strings.Builder{}
		}
		b = &strings.Builder{}
		fmt.Fprintf(b, "# HELP %s %s\n# TYPE %s gauge\n", name, help, name)
		m.names, m.samples[name] = append(m.names, name), b
	}
	var pairs []string
	for i := 0; i < len(labels); i += 2 {
		if labels[i+1] != "" {
			pairs = append(pairs, labels[i]+`="`+labelEscaper.Replace(strings.ToValidUTF8(labels[i+1], "\uFFFD"))+`"`)
		}
	}
	if len(pairs) > 0 {
		name += "{" + strings.Join(pairs, ",") + "}"
	}
	fmt.Fprintf(b, "%s %s\n", name, strconv.FormatFloat(value, 'f', -1, 64))
}

var labelEscaper = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func (m *metrics) text() string {
	var b strings.Builder
	for _, name := range m.names {
		b.WriteString(m.samples[name].String())
	}
	return b.String()
}

func with(labels []string, more ...string) []string {
	return append(labels[:len(labels):len(labels)], more...)
}

func bit(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func unixSeconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMicro()) / 1e6
}
