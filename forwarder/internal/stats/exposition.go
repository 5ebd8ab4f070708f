package stats

import (
	"slices"
	"strconv"
	"strings"
)

// A kind is what Prometheus calls the type of a metric.
type kind string

const (
	counter   kind = "counter"
	gauge     kind = "gauge"
	histogram kind = "histogram"
	summary   kind = "summary"
)

// An exposition is metrics as text, in version 0.0.4 of Prometheus's format:
// https://prometheus.io/docs/instrumenting/exposition_formats/
type exposition []byte

// family begins a metric.
func (e exposition) family(name, help string, k kind) exposition {
	e = append(append(append(append(e, "# HELP "...), name...), ' '), help...)
	e = append(append(append(append(e, "\n# TYPE "...), name...), ' '), k...)
	return append(e, '\n')
}

// value appends a number or a [*Histogram] of the metric that has begun.
func (e exposition) value(name string, value any, labels []string) exposition {
	switch v := value.(type) {
	case *Histogram:
		return e.histogram(name, v, labels)
	case int:
		return e.sample(name, float64(v), labels)
	case int64:
		return e.sample(name, float64(v), labels)
	case uint64:
		return e.sample(name, float64(v), labels)
	case float64:
		return e.sample(name, v, labels)
	}
	return e
}

func (e exposition) sample(name string, value float64, labels []string) exposition {
	e = append(e, name...)
	if len(labels) > 0 {
		e = append(append(append(e, '{'), strings.Join(labels, ",")...), '}')
	}
	return append(strconv.AppendFloat(append(e, ' '), value, 'g', -1, 64), '\n')
}

func (e exposition) histogram(name string, h *Histogram, labels []string) exposition {
	upTo := uint64(0)
	for i, n := range h.counts {
		bound := "+Inf"
		if i < len(h.bounds) {
			bound = strconv.FormatFloat(h.bounds[i], 'g', -1, 64)
		}
		upTo += n
		e = e.sample(name+"_bucket", float64(upTo), append(slices.Clip(labels), label("le", bound)))
	}
	return e.sample(name+"_sum", h.sum, labels).sample(name+"_count", float64(h.Count()), labels)
}

// labels are pairs as they stand between braces, in the order of the names.
func labels(names, values []string) []string {
	var pairs []string
	for i, name := range names {
		pairs = append(pairs, label(name, values[i]))
	}
	slices.Sort(pairs)
	return pairs
}

var escape = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)

func label(name, value string) string {
	return name + `="` + escape.Replace(strings.ToValidUTF8(value, "\uFFFD")) + `"`
}
