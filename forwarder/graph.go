package main

import (
	"fmt"
	"io"
	"strings"

	"kad/forwarder/internal/logpath"
	"kad/pkg/cli"
)

// graph draws the log paths.
func graph(c *cli.Context) error {
	cfg, err := load(c)
	if err != nil {
		return err
	}
	switch c.String("output") {
	case "text":
		drawText(c.App.Writer, cfg.Graph)
	default:
		drawNodes(c.App.Writer, cfg.Graph, dialects[c.String("output")])
	}
	return nil
}

// drawText draws a tree.
func drawText(w io.Writer, g *logpath.Graph) {
	for i, s := range g.Paths {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "log %s%s\n", s.Name, flagText(s.Flags))
		rows := []treeRow{}
		for _, source := range s.Sources {
			rows = append(rows, treeRow{"source " + source, nil})
		}
		drawTree(w, append(rows, treeRows(s.Elements)...), "")
	}
}

// A treeRow is a line of the tree with what hangs below it.
type treeRow struct {
	text string
	kids []treeRow
}

func treeRows(elements []logpath.Element) (rows []treeRow) {
	for _, e := range elements {
		switch e := e.(type) {
		case *logpath.Work:
			rows = append(rows, treeRow{e.Kind + " " + e.Name, nil})
		case *logpath.Send:
			rows = append(rows, treeRow{"destination " + e.Name, nil})
		case *logpath.Tee:
			rows = append(rows, treeRow{"destination " + e.Name, treeRows(e.Elements)})
		case *logpath.If:
			rows = append(rows, treeRow{"if " + e.Name, treeRows(e.Then)})
			if len(e.Else) > 0 {
				rows = append(rows, treeRow{"else", treeRows(e.Else)})
			}
		case *logpath.Junction:
			if !e.Embedded {
				rows = append(rows, treeRow{"junction", branchRows("channel", e)})
			} else {
				rows = append(rows, branchRows("log", e)...)
			}
		}
	}
	return rows
}

func branchRows(kind string, j *logpath.Junction) (rows []treeRow) {
	for _, b := range j.Branches {
		name := " " + b.Name
		if !j.Embedded {
			name = ""
		}
		rows = append(rows, treeRow{kind + name + flagText(b.Flags), treeRows(b.Elements)})
	}
	return rows
}

func drawTree(w io.Writer, rows []treeRow, indent string) {
	for i, r := range rows {
		branch, below := "├─ ", "│  "
		if i == len(rows)-1 {
			branch, below = "└─ ", "   "
		}
		fmt.Fprintln(w, indent+branch+r.text)
		drawTree(w, r.kids, indent+below)
	}
}

// A dialect is how a drawing program wants its nodes and arrows.
type dialect struct {
	begin, end  string
	node, arrow string
	escape      *strings.Replacer
}

var dialects = map[string]*dialect{
	"dot": {
		"digraph forwarder {\n  rankdir=LR\n  node [shape=box]\n", "}\n", "  %s [label=\"%s\"]\n", "  %s -> %s\n",
		strings.NewReplacer(`\`, `\\`, `"`, `\"`),
	},
	"mermaid": {
		"flowchart LR\n", "", "  %s[\"%s\"]\n", "  %s --> %s\n",
		strings.NewReplacer(`"`, "#quot;", "<", "#lt;", ">", "#gt;"),
	},
}

// drawNodes draws nodes and arrows: sources and destinations once, everything else where it stands.
func drawNodes(w io.Writer, g *logpath.Graph, d *dialect) {
	p := &drawing{w: w, dialect: d, known: map[string]string{}, arrows: map[string]bool{}}
	fmt.Fprint(w, d.begin)
	for _, s := range g.Paths {
		path := p.node("", "log "+s.Name+flagText(s.Flags))
		sources := s.Sources
		if s.Flags&logpath.Catchall != 0 {
			sources = []string{"*"}
		}
		for _, name := range sources {
			p.arrow(p.node("source "+name, "source "+name), path)
		}
		p.chain([]string{path}, s.Elements)
	}
	fmt.Fprint(w, d.end)
}

type drawing struct {
	w io.Writer
	*dialect
	known  map[string]string // nodes that stand once, by name
	arrows map[string]bool
	count  int
}

// node draws a node, once if it has a name, and returns its id.
func (p *drawing) node(name, label string) string {
	if id := p.known[name]; id != "" && name != "" {
		return id
	}
	p.count++
	id := fmt.Sprintf("n%d", p.count)
	fmt.Fprintf(p.w, p.dialect.node, id, p.escape.Replace(label))
	if name != "" {
		p.known[name] = id
	}
	return id
}

func (p *drawing) arrow(from, to string) {
	if key := from + " " + to; !p.arrows[key] {
		p.arrows[key] = true
		fmt.Fprintf(p.w, p.dialect.arrow, from, to)
	}
}

// chain draws elements after the nodes from and returns where what follows begins.
func (p *drawing) chain(from []string, elements []logpath.Element) []string {
	join := func(id string) []string {
		for _, f := range from {
			p.arrow(f, id)
		}
		return []string{id}
	}
	for _, e := range elements {
		switch e := e.(type) {
		case *logpath.Work:
			from = join(p.node("", e.Kind+" "+e.Name))
		case *logpath.Send:
			join(p.node("destination "+e.Name, "destination "+e.Name))
		case *logpath.Tee:
			p.chain(from, e.Elements)
		case *logpath.If:
			cond := join(p.node("", "if "+e.Name))
			from = append(p.chain(cond, e.Then), p.chain(cond, e.Else)...)
		case *logpath.Junction:
			var after []string
			for _, b := range e.Branches {
				kind := "channel"
				if e.Embedded {
					kind = "log " + b.Name
				}
				after = append(after, p.chain(join(p.node("", kind+flagText(b.Flags))), b.Elements)...)
			}
			from = after
		}
	}
	return from
}
