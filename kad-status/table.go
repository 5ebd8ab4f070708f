package main

import (
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"kad/pkg/keepalived"
)

// A column of a table. Cells are right-aligned.
type column struct {
	head  string
	least int // least width, the gap before the cell included
}

var tableColumns = []column{
	{"VIP", 16}, {"STATUS", 10}, {"STATE", 10}, {"PRI", 8},
	{"INSTANCE", 20}, {"IFACE", 10}, {"ROUTER ID", 11}, {"TRACKING", 25},
}

var wideColumns = append(tableColumns[:len(tableColumns):len(tableColumns)], []column{
	{"LIVE", 9}, {"EFF", 6}, {"SINCE", 22}, {"MASTER ROUTER", 17},
}...)

// forwarderColumn is there where a forwarder is.
var forwarderColumn = column{"FORWARDER", 12}

// A cell is text with an optional colour, an SGR parameter such as "32".
type cell struct {
	text  string
	color string
}

const (
	green  = "32"
	yellow = "33"
	red    = "31"
)

// cells renders r; wide adds what -o wide shows.
func (r *row) cells(wide bool) []cell {
	cs := []cell{
		{text: cmp.Or(r.VIP, "-")}, {r.Status, green}, {text: string(r.State)}, {text: strconv.Itoa(r.Priority)},
		{text: r.Instance}, {text: r.Interface}, {text: strconv.Itoa(r.VRID)},
		{text: trackingText(r.Tracking, wide)},
	}
	if !wide {
		return cs
	}
	return append(cs, liveCell(r.Live), cell{text: strconv.Itoa(r.Effective)},
		cell{text: timeText(r.Since)}, cell{text: r.masterText()})
}

func trackingText(ts []tracker, wide bool) string {
	names := make([]string, len(ts))
	for i, t := range ts {
		names[i] = t.Name
		if wide && t.Status != "" {
			names[i] += "=" + t.Status
		}
	}
	return strings.Join(names, ",")
}

func liveCell(s keepalived.State) cell {
	switch s {
	case keepalived.Master:
		return cell{string(s), green}
	case keepalived.Fault:
		return cell{string(s), red}
	}
	return cell{text: string(s)}
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format(time.DateTime)
}

// masterText is the router that the instance takes for the MASTER; its own address
// when it is that itself.
func (r *row) masterText() string {
	switch {
	case r.Live == keepalived.Master:
		return "(this host)"
	case r.Master.IsValid():
		return r.Master.String()
	}
	return "-"
}

// writeTable writes the header, a rule and the rows, each line without trailing blanks.
func writeTable(w io.Writer, columns []column, rows [][]cell, opt options) error {
	for _, cells := range rows {
		for i := range cells {
			cells[i].text = printable(cells[i].text)
		}
	}
	widths := columnWidths(columns, rows)
	var b strings.Builder
	if !opt.noHeader {
		writeHeader(&b, columns, widths)
	}
	for _, cells := range rows {
		writeRow(&b, widths, cells, opt.color)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func writeHeader(b *strings.Builder, columns []column, widths []int) {
	total := 0
	for i, c := range columns {
		fmt.Fprintf(b, "%*s", widths[i], c.head)
		total += widths[i]
	}
	b.WriteString("\n  " + strings.Repeat("-", total-2) + "\n")
}

// columnWidths widens a column for all rows by what its longest cell needs plus two
// blanks of gap.
func columnWidths(columns []column, rows [][]cell) []int {
	widths := make([]int, len(columns))
	for i, c := range columns {
		widths[i] = c.least
		room := c.least
		if i > 0 {
			room-- // a cell that fills its column would touch the one before it
		}
		for _, cells := range rows {
			if n := utf8.RuneCountInString(cells[i].text); n > room {
				widths[i] = max(widths[i], n+2)
			}
		}
	}
	return widths
}

func writeRow(b *strings.Builder, widths []int, cells []cell, color bool) {
	last := len(cells) - 1
	for last > 0 && cells[last].text == "" {
		last--
	}
	for i, c := range cells[:last+1] {
		b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c.text)))
		if color && c.color != "" {
			b.WriteString("\x1b[" + c.color + "m" + c.text + "\x1b[0m")
		} else {
			b.WriteString(c.text)
		}
	}
	b.WriteByte('\n')
}

// printable escapes what would move the cursor or hide text: control characters, line
// separators and bytes that are no UTF-8.
func printable(s string) string {
	if strings.IndexFunc(s, unsafeRune) < 0 {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], string(utf8.RuneError)):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case unsafeRune(r):
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func unsafeRune(r rune) bool {
	return r == utf8.RuneError || !unicode.IsPrint(r)
}
