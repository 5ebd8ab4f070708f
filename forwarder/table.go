package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// A table is lines of cells under a heading. The cells of a column are aligned: to the right where the heading begins with
// a blank.
type table struct {
	heads []string
	rows  []tableRow
}

// A tableRow is a line of cells, with lines of text below it.
type tableRow struct{ cells, notes []string }

// screenWidth is what the default output fits in.
const screenWidth = 80

func (t *table) add(notes []string, cells ...string) { t.rows = append(t.rows, tableRow{cells, notes}) }

// write appends the table to b, notes cut to width if that is not 0, each line without trailing blanks.
func (t *table) write(b *strings.Builder, width int) {
	widths := make([]int, len(t.heads))
	for i, head := range t.heads {
		widths[i] = utf8.RuneCountInString(strings.TrimSpace(head))
		for _, row := range t.rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(row.cells[i]))
		}
	}
	t.line(b, widths, t.heads)
	for _, row := range t.rows {
		t.line(b, widths, row.cells)
		for _, note := range row.notes {
			b.WriteString("  " + clip(note, width-2) + "\n")
		}
	}
}

func (t *table) line(b *strings.Builder, widths []int, cells []string) {
	var line strings.Builder
	for i, cell := range cells {
		cell = strings.TrimSpace(cell)
		gap := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
		if strings.HasPrefix(t.heads[i], " ") {
			line.WriteString(gap + cell + "  ")
		} else {
			line.WriteString(cell + gap + "  ")
		}
	}
	b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
}

// clip cuts a text to width characters, and what would move the cursor out of it; a width below 1 is none.
func clip(text string, width int) string {
	runes := []rune(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, text))
	if width < 1 || len(runes) <= width {
		return string(runes)
	}
	return string(runes[:width-1]) + "…"
}

// short is a count in at most five characters: 99999, 1.23M, 12.3G.
func short(n uint64) string {
	if n < 100_000 {
		return strconv.FormatUint(n, 10)
	}
	return scaled(float64(n), 1000, "k", "M", "G", "T", "P", "E")
}

// size is a number of bytes in at most five characters: 512, 1.50K, 12.3M.
func size(n int64) string {
	if n < 1024 {
		return strconv.FormatInt(n, 10)
	}
	return scaled(float64(n), 1024, "K", "M", "G", "T", "P", "E")
}

func scaled(value, by float64, units ...string) string {
	i := -1
	for value >= by-.5 && i+1 < len(units) {
		value /= by
		i++
	}
	digits := 0
	switch {
	case value < 9.995:
		digits = 2
	case value < 99.95:
		digits = 1
	}
	return strconv.FormatFloat(value, 'f', digits, 64) + units[i]
}

// age is a time span in at most four characters: 3s, 59m, 47h, 12d.
func age(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", max(0, d/time.Second))
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dd", d/(24*time.Hour))
}
