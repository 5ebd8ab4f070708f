package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"kad/pkg/keepalived"
	"kad/pkg/vip"
)

// schema is the version of every JSON document that kad-status writes.
const schema = 1

// A hostView is what one host shows: every output format is made of it. It is the
// document of `-o json`, and what the cluster view reads from each host.
type hostView struct {
	Schema     int          `json:"schema"`
	Host       string       `json:"host"`
	Time       time.Time    `json:"time"`
	Keepalived []daemonView `json:"keepalived"`

	Forwarder *forwarderView `json:"forwarder,omitempty"` // nil where none runs

	// Where no keepalived could be asked: why, and what is on the host all the same.
	Error     string        `json:"error,omitempty"`
	Addresses []vip.Address `json:"addresses,omitempty"`
	Stray     []string      `json:"stray,omitempty"` // VIPs of its keepalived.conf that are among them
}

// A daemonView is one keepalived of a host.
type daemonView struct {
	Name         string           `json:"name,omitempty"`
	NetNamespace string           `json:"net_namespace,omitempty"`
	PIDs         []int            `json:"pids,omitempty"`
	RolesFrom    string           `json:"roles_from"` // where the configured states were read; "live": nowhere
	VIPs         []row            `json:"vips"`
	Problems     []problem        `json:"problems"`
	Notes        []string         `json:"notes,omitempty"` // what limits the view itself
	Dump         *keepalived.Dump `json:"dump"`
	Addresses    []vip.Address    `json:"addresses"`
}

func newHostView(host string, at time.Time, daemons []*daemon) *hostView {
	h := &hostView{Schema: schema, Host: host, Time: at, Keepalived: []daemonView{}}
	for _, d := range daemons {
		rows := d.rows()
		h.Keepalived = append(h.Keepalived, daemonView{
			Name: d.Name, NetNamespace: d.NetNamespace, PIDs: d.PIDs,
			RolesFrom: cmp.Or(d.RolesFrom, "live"),
			VIPs:      rows, Problems: d.problems(rows), Notes: d.notes(),
			Dump: d.Dump, Addresses: d.Addresses,
		})
	}
	return h
}

// problems lists the problems of all keepalived of the host, and of its forwarder.
func (h *hostView) problems() []problem {
	var all []problem
	for _, d := range h.Keepalived {
		all = append(all, d.Problems...)
	}
	if p := h.forwarderProblem(); p != nil {
		all = append(all, *p)
	}
	return all
}

// lines lists problems and notes of all keepalived of the host.
func (h *hostView) lines() []string {
	var lines []string
	for _, v := range h.Stray {
		lines = append(lines, fmt.Sprintf("VIP %s is on this host, but no keepalived answers for it", v))
	}
	for _, d := range h.Keepalived {
		for _, p := range d.Problems {
			lines = append(lines, p.String())
		}
		lines = append(lines, d.Notes...)
	}
	if p := h.forwarderProblem(); p != nil {
		lines = append(lines, p.String())
	}
	return lines
}

// wrong is false: a table of one host gives no verdict, --check does.
func (h *hostView) wrong() bool { return false }

func (h *hostView) write(w io.Writer, opt options) error {
	switch opt.format {
	case "json":
		return writeJSON(w, h)
	case "prometheus":
		return h.writePrometheus(w)
	}
	return h.writeTables(w, opt)
}

// writeTables prints a PIDs line and a table for each keepalived.
func (h *hostView) writeTables(w io.Writer, opt options) error {
	wide := opt.format == "wide"
	columns := tableColumns
	if wide {
		columns = wideColumns
	}
	withForwarder := wide && h.Forwarder != nil
	if withForwarder {
		columns = append(columns[:len(columns):len(columns)], forwarderColumn)
	}
	for i, d := range h.Keepalived {
		if i > 0 && !opt.noHeader {
			fmt.Fprintln(w)
		}
		if line := d.pidsLine(); line != "" && !opt.noHeader {
			fmt.Fprintf(w, "%s\n\n", line)
		}
		rows := make([][]cell, len(d.VIPs))
		for i := range d.VIPs {
			rows[i] = d.VIPs[i].cells(wide)
			if withForwarder {
				rows[i] = append(rows[i], h.Forwarder.cell())
			}
		}
		if err := writeTable(w, columns, rows, opt); err != nil {
			return err
		}
	}
	return nil
}

func (d *daemonView) pidsLine() string {
	if len(d.PIDs) == 0 {
		return ""
	}
	pids := make([]string, len(d.PIDs))
	for i, pid := range d.PIDs {
		pids[i] = strconv.Itoa(pid)
	}
	var which []string
	if d.Name != "" {
		which = append(which, "instance "+d.Name)
	}
	if d.NetNamespace != "" {
		which = append(which, "net_namespace "+d.NetNamespace)
	}
	name := "keepalived"
	if len(which) > 0 {
		name += " (" + printable(strings.Join(which, ", ")) + ")"
	}
	return name + ": PIDs => " + strings.Join(pids, ",")
}

func writeJSON(w io.Writer, doc any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(doc)
}
