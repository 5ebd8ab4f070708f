package main

import (
	"bytes"
	"fmt"
	"math"
)

// Colours that can be told apart on white and on black.
const (
	ink  = "#7d8590"
	grid = "#7d859055"
	blue = "#388bfd"
)

var colours = map[string]string{"forwarder": blue, "syslog-ng": "#db8b1c", "rsyslog": "#a371f7", "relay": "#57ab5a"}

// A drawing is an SVG in the making.
type drawing struct{ bytes.Buffer }

func newDrawing(width, height float64) *drawing {
	d := &drawing{}
	fmt.Fprintf(d, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" width="%g" height="%g" font-family="sans-serif" font-size="12" fill="%s">`+"\n",
		width, height, width, height, ink)
	return d
}

// text writes s at a point; anchor is start, middle or end. What s says is ours and has no markup.
func (d *drawing) text(x, y float64, anchor, s string) {
	fmt.Fprintf(d, `<text x="%.1f" y="%.1f" text-anchor="%s">%s</text>`+"\n", x, y, anchor, s)
}

func (d *drawing) bar(x, y, width, height float64, colour string) {
	fmt.Fprintf(d, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`+"\n", x, y, width, height, colour)
}

func (d *drawing) line(x1, y1, x2, y2 float64, colour, dashes string) {
	fmt.Fprintf(d, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-dasharray="%s"/>`+"\n", x1, y1, x2, y2, colour, dashes)
}

func (d *drawing) dot(x, y float64, colour string) {
	fmt.Fprintf(d, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`+"\n", x, y, colour)
}

func (d *drawing) end() []byte {
	d.WriteString("</svg>\n")
	return d.Bytes()
}

// A scale maps the logarithms of values from low to high onto the pixels from start to end.
type scale struct{ low, high, start, end float64 }

func (s scale) at(v float64) float64 {
	return s.start + (s.end-s.start)*math.Log(max(v, s.low)/s.low)/math.Log(s.high/s.low)
}

// A group is the bars under one title.
type group struct {
	title string
	bars  []bar
}

type bar struct {
	label  string
	value  float64
	colour string
}

// barChart draws groups of bars over each other, on a logarithmic axis from low to high.
func barChart(groups []group, unit string, low, high float64) []byte {
	const width, left, row, head, top = 800.0, 90.0, 16.0, 24.0, 24.0
	height := top + row
	for _, g := range groups {
		height += head + row*float64(len(g.bars))
	}
	d := newDrawing(width, height)
	x := scale{low, high, left, width - 60}
	for v := low; v <= high*1.001; v *= 10 {
		d.line(x.at(v), top-4, x.at(v), height-row, grid, "")
		d.text(x.at(v), top-10, "middle", fmt.Sprintf("%g %s", v, unit))
	}
	y := top
	for _, g := range groups {
		d.text(8, y+head-7, "start", g.title)
		y += head
		for _, b := range g.bars {
			d.text(left-8, y+row-4, "end", b.label)
			d.bar(left, y+2, x.at(b.value)-left, row-4, b.colour)
			d.text(x.at(b.value)+6, y+row-4, "start", digitsAfter(2)(b.value))
			y += row
		}
	}
	return d.end()
}

// A panel is one curve: the values of y over those of x.
type panel struct {
	title string
	x, y  []float64
}

// curveChart draws panels, three in a row, each on logarithmic axes, with a dashed line for what grows as x does.
func curveChart(panels []panel) []byte {
	const width, height, left, right, top, bottom, columns = 300.0, 220.0, 24.0, 24.0, 34.0, 28.0, 3
	rows := (len(panels) + columns - 1) / columns
	d := newDrawing(width*columns, height*float64(rows))
	for i, p := range panels {
		x0, y0 := width*float64(i%columns), height*float64(i/columns)
		last := len(p.x) - 1
		x := scale{p.x[0], p.x[last], x0 + left, x0 + width - right}
		low, high := p.y[0], p.y[0]
		for _, v := range p.y {
			low, high = min(low, v), max(high, v)
		}
		y := scale{low / 1.3, max(high*1.3, low*10), y0 + height - bottom, y0 + top}
		d.text(x0+left, y0+16, "start", p.title)
		d.line(x.start, y.start, x.end, y.start, grid, "")
		end := min(p.x[last], p.x[0]*y.high/p.y[0]) // where the dashed line leaves the panel
		d.line(x.at(p.x[0]), y.at(p.y[0]), x.at(end), y.at(p.y[0]*end/p.x[0]), ink, "4 4")
		for j := range p.x {
			if j > 0 {
				d.line(x.at(p.x[j-1]), y.at(p.y[j-1]), x.at(p.x[j]), y.at(p.y[j]), blue, "")
			}
			d.dot(x.at(p.x[j]), y.at(p.y[j]), blue)
			d.text(x.at(p.x[j]), y.at(p.y[j])-8, "middle", digitsAfter(2)(p.y[j]))
			d.text(x.at(p.x[j]), y.start+16, "middle", fmt.Sprint(p.x[j]))
		}
	}
	return d.end()
}
