// Package config reads forwarder.toml. All that is wrong with it is reported at once, with file, line and column;
// reference.toml has every key.
package config

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"kad/forwarder/internal/destination"
	"kad/forwarder/internal/filter"
	"kad/forwarder/internal/logmsg"
	"kad/forwarder/internal/logpath"
	"kad/forwarder/internal/option"
	"kad/forwarder/internal/parser"
	"kad/forwarder/internal/rewrite"
	"kad/forwarder/internal/source"
	"kad/forwarder/internal/template"
	"kad/pkg/conf"
	"kad/pkg/vip"
)

// A Config is a whole configuration: objects with their options checked and their names resolved. Nothing of it runs.
type Config struct {
	option.Globals
	Sources      []*Source // in the file's order; those that stand in log paths too
	Destinations []*destination.Destination
	Graph        *logpath.Graph
	// Texts has, for each destination and for each driver of a source, all that the file says about it, but for steps:
	// "destination d", "source s 0". Where the text is the same, so is what it describes.
	Texts map[string]string
	// Warnings are about what is not wrong and has no effect.
	Warnings []*conf.Error

	names   *environment
	record  record
	name    string // of the file
	data    []byte
	drivers []placed // of sources and destinations
}

// SourceText names the text of a driver.
func SourceText(source string, driver int) string {
	return "source " + source + " " + strconv.Itoa(driver)
}

// A Source is a source with its drivers.
type Source struct {
	Name    string
	Drivers []source.Driver
}

// Load reads the file of that name. The error joins one *conf.Error for each thing that is wrong.
func Load(name string) (*Config, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return Parse(name, data)
}

// Parse reads data, the content of the file name.
func Parse(name string, data []byte) (*Config, error) {
	var root document
	file, _ := conf.Decode(name, data, &root) // what is wrong is in file, and what else is wrong follows
	b := &builder{decoder: decoder{File: file, order: map[string]int{}, filled: map[string]reflect.Value{}}, config: &Config{Globals: option.Defaults(), Texts: map[string]string{}}}
	b.decoder.env, b.decoder.use = b.names, b.use
	b.used, b.places, b.anonymous = map[string]bool{}, map[*logpath.Statement]string{}, map[string]int{}
	for i, path := range file.Paths() {
		if _, ok := b.order[path]; !ok {
			b.order[path] = i
		}
	}
	b.build(&root)
	if err := file.Err(); err != nil {
		return nil, err
	}
	b.config.names, b.config.name, b.config.data = b.names(), name, data
	b.config.Warnings = b.warnings()
	b.config.record = record{&b.decoder, &root}
	return b.config, nil
}

// Filter is the filter of a name, or an expression; of an empty text nil.
func (c *Config) Filter(text string) (*filter.Expr, error) {
	if text == "" {
		return nil, nil
	}
	if IsName(text) {
		if e, ok := c.names.filter.Filters[text]; ok {
			return e, nil
		}
		return nil, fmt.Errorf("no filter %q", text)
	}
	e, err := filter.Parse(text)
	if err != nil {
		return nil, err
	}
	return e, e.Resolve(c.names.filter)
}

// Template is a template; of an empty text nil.
func (c *Config) Template(text string) (*template.Template, error) {
	if text == "" {
		return nil, nil
	}
	t, err := template.Parse(text)
	if err != nil {
		return nil, err
	}
	return t, t.Resolve(c.names.template)
}

// A document is the sections of the file, in the order in which they are read.
type document struct {
	Options     table `toml:"options"`
	Template    table `toml:"template"`
	Filter      table `toml:"filter"`
	Source      table `toml:"source"`
	Parser      table `toml:"parser"`
	Rewrite     table `toml:"rewrite"`
	Destination table `toml:"destination"`
	Log         table `toml:"log"`
}

// A builder makes a Config of tables.
type builder struct {
	decoder
	common       string // what every text depends on
	config       *Config
	templates    map[string]*template.Template
	filters      map[string]*filter.Expr
	sources      map[string]bool
	parsers      map[string][]logpath.Element
	rewrites     map[string][]logpath.Element
	destinations map[string][]logpath.Element
	graph        logpath.Graph
	environment  *environment
	anonymous    map[string]int                // how many there are, by kind
	used         map[string]bool               // objects that something names: "filter f"
	places       map[*logpath.Statement]string // their paths in the file
}

// use notes that objects are named by something.
func (b *builder) use(kind string, names ...string) {
	for _, name := range names {
		b.used[kind+" "+name] = true
	}
}

// An environment is what names in templates and expressions stand for.
type environment struct {
	template *template.Env
	filter   *filter.Env
}

func (b *builder) names() *environment {
	if b.environment != nil {
		return b.environment
	}
	e := &environment{}
	e.filter = &filter.Env{
		Filters:          b.filters,
		StringComparison: b.config.Comparison == "string",
		Template: func(t *template.Template) error {
			b.use("template", t.Uses()...)
			return t.Resolve(e.template)
		},
		VIPHeld: vipHeld,
	}
	e.template = &template.Env{
		Templates: b.templates,
		Formats:   b.formats(),
		Condition: func(expr string) (func(m *logmsg.Message) bool, error) {
			x, err := filter.Parse(expr)
			if err != nil {
				return nil, err
			}
			b.use("filter", x.Uses()...)
			return x.Match, x.Resolve(e.filter)
		},
	}
	b.environment = e
	return e
}

// formats are how the times in templates of steps are written.
func (b *builder) formats() template.Formats {
	g := &b.config.Globals
	f := template.Formats{FracDigits: g.FracDigits, Zone: g.LocalTimeZone.Location}
	_ = f.TimeFormat.UnmarshalText([]byte(g.TimeFormat)) // checked where it was decoded
	return f
}

func vipHeld(addr netip.Addr) (held func() bool, err error) {
	h, err := vip.Local.Track(addr)
	if err != nil {
		return nil, err
	}
	return h.Held, nil
}

func (b *builder) build(root *document) {
	b.templates, b.filters = map[string]*template.Template{}, map[string]*filter.Expr{}
	b.parsers, b.rewrites, b.destinations = map[string][]logpath.Element{}, map[string][]logpath.Element{}, map[string][]logpath.Element{}
	b.sources = map[string]bool{}
	b.common = fmt.Sprint(root.Options, root.Template, root.Filter)
	b.options(root.Options)
	b.each("template", root.Template, b.template)
	b.each("filter", root.Filter, b.filter)
	b.each("source", root.Source, func(path, name string, t table) { b.source(path, name, t, false) })
	b.each("parser", root.Parser, func(path, name string, t table) { b.parsers[name] = b.object(path, name, t, b.parser) })
	b.each("rewrite", root.Rewrite, func(path, name string, t table) { b.rewrites[name] = b.object(path, name, t, b.rewrite) })
	b.each("destination", root.Destination, b.destination)
	b.each("log", root.Log, func(path, name string, t table) {
		b.graph.Paths = append(b.graph.Paths, b.statement(path, name, t, true))
	})
	for i := 0; i < len(b.resolve); i++ { // the steps of drivers have more to resolve
		b.resolve[i]()
	}
	b.graph.UnmatchedEmbeddedRefuses = b.config.UnmatchedEmbedded == "unprocessed"
	b.config.Graph = &b.graph
}

// each goes through the named tables of a section.
func (b *builder) each(section string, t table, f func(path, name string, t table)) {
	for _, name := range b.keys(section, t) {
		path := join(section, name)
		if entry := b.asTable(path, t[name]); entry != nil {
			f(path, name, entry)
		}
	}
}

func (b *builder) options(t table) {
	g := &b.config.Globals
	b.fill("options", t, g)
	b.oneOf("options.unmatched_embedded", g.UnmatchedEmbedded, "processed", "unprocessed")
	b.oneOf("options.comparison", g.Comparison, "number", "string")
	var format template.TimeFormat
	if err := format.UnmarshalText([]byte(g.TimeFormat)); err != nil {
		b.Errorf("options.ts_format", "%v", err)
	}
}

func (b *builder) oneOf(path, value string, known ...string) {
	if !slices.Contains(known, value) {
		b.Hintf(path, conf.DidYouMean(value, known), "found %q, want one of %q", value, known)
	}
}

func (b *builder) template(path, name string, t table) {
	v := struct {
		Template *template.Template `toml:"template"`
		Escape   bool               `toml:"template_escape"`
	}{}
	b.fill(path, t, &v)
	if v.Template == nil {
		b.Errorf(path, "template is required")
		v.Template = template.Must("")
	}
	v.Template.SetEscape(v.Escape)
	b.templates[name] = v.Template
}

func (b *builder) filter(path, name string, t table) {
	v := struct {
		Expr *filter.Expr `toml:"expr"`
	}{}
	b.fill(path, t, &v)
	if v.Expr == nil {
		if t["expr"] == nil || t["expr"] == "" {
			b.Errorf(path, "expr is required")
		}
		v.Expr = &filter.Expr{} // so that those who name it are not told that there is none
	}
	b.filters[name] = v.Expr
}

// drivers calls f for each driver of an object: the table itself, or those of its list.
func (b *builder) drivers(path string, t table, f func(path string, t table)) {
	list, ok := t["drivers"]
	if !ok {
		f(path, t)
		return
	}
	for i, e := range b.asList(join(path, "drivers"), list) {
		at := index(join(path, "drivers"), i)
		if entry := b.asTable(at, e); entry != nil {
			f(at, entry)
		}
	}
}

// driver makes the options of the driver that t names.
func driver[T any](b *builder, path string, t table, known map[string]T) (make T, ok bool) {
	name, isString := t["driver"].(string)
	if make, ok = known[name]; ok {
		return make, true
	}
	if !isString {
		b.Errorf(path, "driver is required, one of %s", list(names(known)))
	} else {
		b.Hintf(join(path, "driver"), conf.DidYouMean(name, names(known)), "no driver %q, want one of %s", name, list(names(known)))
	}
	return make, false
}

func list(words []string) string {
	s := ""
	for i, w := range words {
		if i > 0 {
			s += ", "
		}
		s += w
	}
	return s
}

// source reads a source and makes it known to the log paths.
func (b *builder) source(path, name string, t table, inline bool) {
	b.sources[name] = true
	s := &Source{Name: name}
	node := logpath.Source{Name: name, Inline: inline}
	b.drivers(path, t, func(at string, t table) {
		make, ok := driver(b, at, t, source.Drivers)
		if !ok {
			return
		}
		d := make(&b.config.Globals)
		b.fill(at, t, d, "driver", "steps")
		b.failed(at, d.Init())
		d.Settings().Driver, _ = t["driver"].(string)
		b.config.Texts[SourceText(name, len(s.Drivers))] = b.text(t)
		s.Drivers = append(s.Drivers, d)
		b.config.drivers = append(b.config.drivers, placed{path: at, driver: d})
		var steps []logpath.Element
		b.later(func() {
			if v, ok := t["steps"]; ok {
				steps = b.steps(join(at, "steps"), v)
			}
			b.channel(name, steps)
		})
	})
	b.config.Sources = append(b.config.Sources, s)
	b.graph.Sources = append(b.graph.Sources, node)
}

// text is what the file says in t, with its keys sorted.
func (b *builder) text(t table) string {
	t = maps.Clone(t)
	delete(t, "steps")
	return b.common + fmt.Sprint(t)
}

// channel adds the steps of a source's next driver.
func (b *builder) channel(name string, steps []logpath.Element) {
	for i := range b.graph.Sources {
		if s := &b.graph.Sources[i]; s.Name == name {
			s.Channels = append(s.Channels, steps)
		}
	}
}

// later runs f when all objects have been read.
func (b *builder) later(f func()) { b.resolve = append(b.resolve, f) }

// object reads a parser or a rewrite as the elements that do its work.
func (b *builder) object(path, name string, t table, read func(path, name string, t table) logpath.Element) (elements []logpath.Element) {
	b.drivers(path, t, func(at string, t table) {
		if e := read(at, name, t); e != nil {
			elements = append(elements, e)
		}
	})
	return elements
}

func (b *builder) parser(path, name string, t table) logpath.Element {
	make, ok := driver(b, path, t, parser.Drivers)
	if !ok {
		return nil
	}
	p := make()
	b.fill(path, t, p, "driver")
	b.failed(path, p.Init())
	return &logpath.Work{Kind: "parser", Name: name, Step: p}
}

func (b *builder) rewrite(path, name string, t table) logpath.Element {
	make, ok := driver(b, path, t, rewrite.Drivers)
	if !ok {
		return nil
	}
	r := make()
	b.fill(path, t, r, "driver")
	b.failed(path, r.Init())
	if set, ok := r.(*rewrite.Set); ok && set.Template != nil { // the only step whose times are those of destinations
		b.later(func() { set.Template.SetZone(b.config.SendTimeZone.Location) })
	}
	return &logpath.Work{Kind: "rewrite", Name: name, Step: r}
}

func (b *builder) destination(path, name string, t table) {
	b.destinations[name] = b.destinationElements(path, name, t)
}

// destinationElements makes the destinations of an object's drivers and what sends to them.
func (b *builder) destinationElements(path, name string, t table) (elements []logpath.Element) {
	count := 0
	b.drivers(path, t, func(at string, t table) {
		make, ok := driver(b, at, t, destination.Drivers)
		if !ok {
			return
		}
		d := make(&b.config.Globals)
		b.fill(at, t, d, "driver", "steps", "throttle")
		d.Settings().Driver, _ = t["driver"].(string)
		b.failed(at, d.Init())
		if d.Settings().DiskBuffer != nil && strings.HasPrefix(name, anonymous) {
			b.Errorf(join(at, "disk_buffer"), "a disk buffer is found again by the name of its destination, and this one has none")
		}
		unique := name
		if count++; count > 1 {
			unique += "#" + strconv.Itoa(count)
		}
		b.config.drivers = append(b.config.drivers, placed{path: at, driver: d, name: unique})
		dest := destination.New(unique, d)
		b.config.Destinations = append(b.config.Destinations, dest)
		b.config.Texts[dest.String()] = b.text(t)
		send := &logpath.Send{Name: unique, Sink: dest}
		if v, ok := t["steps"]; ok {
			tee := &logpath.Tee{Name: unique}
			b.later(func() { tee.Elements = append(b.steps(join(at, "steps"), v), send) })
			elements = append(elements, tee)
			return
		}
		elements = append(elements, send)
	})
	return elements
}

var pathFlags = map[string]logpath.Flags{
	"catchall": logpath.Catchall, "drop_unmatched": logpath.DropUnmatched, "fallback": logpath.Fallback, "final": logpath.Final,
	"flow_control": logpath.FlowControl,
}

// statement reads a log statement; only one at the top has sources.
func (b *builder) statement(path, name string, t table, top bool) *logpath.Statement {
	s := &logpath.Statement{Name: name}
	b.places[s] = path
	known := []string{"source", "steps", "destination", "flags", "log"}
	for _, key := range b.keys(path, t) {
		at := join(path, key)
		switch {
		case key == "source" && !top:
			b.Errorf(at, "an embedded log statement has no sources, only the one at the top has")
		case key == "source":
			s.Sources = b.sourceNames(at, t[key])
		case !slices.Contains(known, key):
			b.unknownKey(at, key, known)
		}
	}
	if v, ok := t["steps"]; ok {
		s.Elements = b.steps(join(path, "steps"), v)
	}
	if v, ok := t["destination"]; ok {
		at := join(path, "destination")
		for i, e := range b.asList(at, v) {
			s.Elements = append(s.Elements, b.reference(index(at, i), e, "destination", b.destinations, b.inlineDestination)...)
		}
	}
	if v, ok := t["log"]; ok {
		j := &logpath.Junction{Embedded: true}
		at := join(path, "log")
		b.each(at, b.asTable(at, v), func(path, name string, t table) {
			j.Branches = append(j.Branches, b.statement(path, name, t, false))
		})
		s.Elements = append(s.Elements, j)
	}
	s.Flags = b.flags(path, t, top)
	return s
}

// flags reads the flags of a statement or channel.
func (b *builder) flags(path string, t table, top bool) (flags logpath.Flags) {
	v, ok := t["flags"]
	if !ok {
		return 0
	}
	at := join(path, "flags")
	b.flagNames(at, v, names(pathFlags), func(name string) {
		if name == "catchall" && !top {
			b.Errorf(at, "catchall is only for log statements at the top")
		}
		flags |= pathFlags[name]
		if name == "catchall" {
			b.use("source", names(b.sources)...)
		}
	})
	return flags
}

// sourceNames reads the sources of a statement; those in place get a name.
func (b *builder) sourceNames(path string, v any) (sources []string) {
	for i, e := range b.asList(path, v) {
		at := index(path, i)
		if t, ok := e.(table); ok {
			name := b.nextAnonymous("source")
			b.source(at, name, t, true)
			sources = append(sources, name)
			continue
		}
		name, ok := b.asString(at, e)
		if !ok {
			continue
		}
		b.use("source", name)
		if !b.sources[name] {
			b.Hintf(at, conf.DidYouMean(name, names(b.sources)), "no source %q", name)
		}
		sources = append(sources, name)
	}
	return sources
}

// anonymous begins the name of what is defined in place, as syslog-ng has it: in $SOURCE it can be seen.
const anonymous = "#anon-"

// nextAnonymous is the name of the next object of a kind without one.
func (b *builder) nextAnonymous(kind string) string {
	n := b.anonymous[kind]
	b.anonymous[kind]++
	return anonymous + kind + strconv.Itoa(n)
}

func (b *builder) inlineDestination(path string, t table) []logpath.Element {
	return b.destinationElements(path, b.nextAnonymous("destination"), t)
}

// reference reads the name of an object, or the object itself: a table, or a list of them.
func (b *builder) reference(path string, v any, kind string, known map[string][]logpath.Element, inline func(path string, t table) []logpath.Element) []logpath.Element {
	switch v := v.(type) {
	case string:
		b.use(kind, v)
		elements, ok := known[v]
		if !ok {
			b.Hintf(path, conf.DidYouMean(v, names(known)), "no %s %q", kind, v)
		}
		return elements
	case table:
		return inline(path, v)
	case []any, []table:
		var elements []logpath.Element
		for i, e := range b.asList(path, v) {
			if t := b.asTable(index(path, i), e); t != nil {
				elements = append(elements, inline(index(path, i), t)...)
			}
		}
		return elements
	}
	b.Errorf(path, "found %s, want the name of a %s or a table", kindOf(v), kind)
	return nil
}
