package template

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"kad/forwarder/internal/logmsg"
	"kad/forwarder/internal/match"
)

// AppendItem appends an item of a list: in quotes, its backslashes and control characters escaped, if it is empty or has a
// blank, a quote, a backslash or one of the characters of special in it.
func AppendItem(dst, item []byte, special string) []byte {
	if len(item) > 0 && !bytes.ContainsAny(item, " \"'\\\b\f\n\r\t"+special) {
		return append(dst, item...)
	}
	quote := byte('"')
	if bytes.IndexByte(item, '"') >= 0 && bytes.IndexByte(item, '\'') < 0 {
		quote = '\''
	}
	dst = append(dst, quote)
	for _, c := range item {
		switch {
		case c == '\\' || c == '"' && quote == c:
			dst = append(dst, '\\', c)
		case strings.IndexByte("\b\f\n\r\t", c) >= 0:
			dst = append(dst, '\\', "bfnrt"[strings.IndexByte("\b\f\n\r\t", c)])
		case c < ' ':
			dst = fmt.Appendf(dst, `\x%02x`, c)
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, quote)
}

// listFunctions are those about lists: items parted by commas.
var listFunctions = map[string]function{
	"list-concat": {0, -1, onList(func(items [][]byte) [][]byte { return items })},
	"list-append": {1, -1, listAppend},
	"list-head":   {0, -1, listHead},
	"list-tail":   {0, -1, onList(func(items [][]byte) [][]byte { return items[min(1, len(items)):] })},
	"list-nth":    {1, -1, listNth},
	"list-slice":  {1, -1, listSlice},
	"list-count":  {0, -1, listCount},
	"explode":     {1, -1, explode},
	"implode":     {1, -1, implode},
}

// appendList writes items as a list.
func appendList(dst []byte, items [][]byte) []byte {
	for i, item := range items {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendItem(dst, item, ",")
	}
	return dst
}

// ListItems are the items of a list; empty ones without quotes do not count.
func ListItems(list []byte) (items [][]byte) {
	for len(list) > 0 {
		var item []byte
		var quoted bool
		if item, quoted, list = nextItem(list); quoted || len(item) > 0 {
			items = append(items, item)
		}
	}
	return items
}

// nextItem is the first item of a list, without its quotes and escapes, and what follows it.
func nextItem(list []byte) (item []byte, quoted bool, rest []byte) {
	list = bytes.TrimLeft(list, " \t")
	var quote byte
	if len(list) > 0 && (list[0] == '"' || list[0] == '\'') {
		quote, quoted, list = list[0], true, list[1:]
	}
	for i := 0; i < len(list); i++ {
		switch c := list[i]; {
		case quote != 0 && c == '\\' && i+1 < len(list):
			i++
			c = list[i]
			if at := strings.IndexByte("nrt", c); at >= 0 {
				c = "\n\r\t"[at]
			}
			item = append(item, c)
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && c == ',':
			return item, quoted, list[i+1:]
		default:
			item = append(item, c)
		}
	}
	return item, quoted, nil
}

// allItems are the items of all arguments.
func allItems(args []*Template, m *logmsg.Message, c *Context) (items [][]byte) {
	for _, a := range args {
		items = append(items, ListItems(a.append(nil, m, c))...)
	}
	return items
}

func onList(f func(items [][]byte) [][]byte) writer {
	return func(dst []byte, args []*Template, m *logmsg.Message, c *Context) []byte {
		return appendList(dst, f(allItems(args, m, c)))
	}
}

func listAppend(dst []byte, args []*Template, m *logmsg.Message, c *Context) []byte {
	items := ListItems(args[0].append(nil, m, c))
	for _, a := range args[1:] {
		items = append(items, a.append(nil, m, c))
	}
	return appendList(dst, items)
}

func listHead(dst []byte, args []*Template, m *logmsg.Message, c *Context) []byte {
	return appendNth(dst, allItems(args, m, c), 0)
}

func listNth(dst []byte, args []*Template, m *logmsg.Message, c *Context) []byte {
	n, ok := parseInt(args[0].append(nil, m, c))
	if !ok {
		return dst
	}
	return appendNth(dst, allItems(args[1:], m, c), n)
}

// appendNth appends the item of a number; negative ones count from the end.
func appendNth(dst []byte, items [][]byte, n int64) []byte {
	if n < 0 {
		n += int64(len(items))
	}
	if n < 0 || n >= int64(len(items)) {
		return dst
	}
	return append(dst, items[n]...)
}

// listSlice takes the items from FIRST up to LAST, which is not taken: "1:", ":-1", "1:3".
func listSlice(dst []byte, args []*Template, m *logmsg.Message, c *Context) []byte {
	items := allItems(args[1:], m, c)
	first, last, _ := bytes.Cut(args[0].append(nil, m, c), []byte(":"))
	bound := func(text []byte, otherwise int) int {
		n, ok := parseInt(text)
		if !ok {
			return otherwise
		}
		if n < 0 {
			n += int64(len(items))
		}
		return int(min(max(n, 0), int64(len(items))))
	}
	from, to := bound(first, 0), bound(last, len(items))
	return appendList(dst, items[min(from, to):to])
}

func listCount(dst []byte, args []*Template, m *logmsg.Message, c *Context) []byte {
	return strconv.AppendInt(dst, int64(len(allItems(args, m, c))), 10)
}

// explode makes a list of the texts between separators.
func explode(dst []byte, args []*Template, m *logmsg.Message, c *Context) []byte {
	separator := args[0].append(nil, m, c)
	var items [][]byte
	for _, a := range args[1:] {
		text := a.append(nil, m, c)
		if len(separator) == 0 {
			items = append(items, text)
			continue
		}
		if len(text) > 0 {
			items = append(items, bytes.Split(text, separator)...)
		}
	}
	return appendList(dst, items)
}

// implode joins the items of lists.
func implode(dst []byte, args []*Template, m *logmsg.Message, c *Context) []byte {
	return append(dst, bytes.Join(allItems(args[1:], m, c), args[0].append(nil, m, c))...)
}

// parseNames and parseValues read $(names GLOB...) and $(values GLOB...), which take the options of $(format-json).
func parseNames(t *Template, words []string) (part, error) {
	return parseFormat(t, words, func(dst []byte, values []pairValue, _ *pairs) []byte {
		return appendPairs(dst, values, func(v pairValue) string { return v.name })
	})
}

func parseValues(t *Template, words []string) (part, error) {
	return parseFormat(t, words, func(dst []byte, values []pairValue, _ *pairs) []byte {
		return appendPairs(dst, values, func(v pairValue) string { return v.value })
	})
}

// appendPairs makes a list of values, which are sorted downwards.
func appendPairs(dst []byte, values []pairValue, text func(pairValue) string) []byte {
	var items [][]byte
	for _, v := range slices.Backward(values) {
		items = append(items, []byte(text(v)))
	}
	return appendList(dst, items)
}

// parseSearch reads $(list-search [--mode MODE] [--start-index N] PATTERN LIST...): the number of the first item that
// matches.
func parseSearch(t *Template, words []string) (part, error) {
	options, first := match.Options{Type: "string"}, int64(0)
	for len(words) > 1 && strings.HasPrefix(words[0], "--") {
		option, arg, joined := strings.Cut(words[0], "=")
		words = words[1:]
		if !joined {
			arg, words = words[0], words[1:]
		}
		mode, known := searchModes[arg]
		var isNumber bool
		switch {
		case option == "--mode" && known:
			options = mode
		case option == "--start-index":
			if first, isNumber = parseInt([]byte(arg)); isNumber {
				continue
			}
			fallthrough
		default:
			return nil, fmt.Errorf("$(list-search) has no option %s %s", option, arg)
		}
	}
	if len(words) == 0 {
		return nil, fmt.Errorf("$(list-search) has no pattern")
	}
	pattern, err := match.Compile(words[0], options)
	if err != nil {
		return nil, err
	}
	args, err := parseArgs(t, words[1:])
	return macro(func(dst []byte, m *logmsg.Message, c *Context) []byte {
		items := allItems(args, m, c)
		start := first
		if start < 0 {
			start = max(0, start+int64(len(items)))
		}
		for i := start; i < int64(len(items)); i++ {
			if pattern.Match(items[i]) {
				return strconv.AppendInt(dst, i, 10)
			}
		}
		return dst
	}), err
}

var searchModes = map[string]match.Options{
	"literal": {Type: "string"}, "prefix": {Type: "string", Flags: []string{"prefix"}}, "substring": {Type: "string", Flags: []string{"substring"}},
	"glob": {Type: "glob"}, "pcre": {Type: "pcre"},
}

// parseMap reads $(map TEMPLATE LIST...): the template stands for each item, which is $_ in it.
func parseMap(t *Template, words []string) (part, error) {
	if len(words) < 1 {
		return nil, fmt.Errorf("$(map) has no arguments, want a template and lists")
	}
	args, err := parseArgs(t, words)
	return macro(func(dst []byte, m *logmsg.Message, c *Context) []byte {
		items := allItems(args[1:], m, c)
		outer := m.Item
		for i, item := range items {
			m.Item = item
			items[i] = args[0].append(nil, m, c)
		}
		m.Item = outer
		return appendList(dst, items)
	}), err
}

// parseFilter reads $(filter CONDITION LIST...): the items, each of which is $_ in the condition, for which it is true.
func parseFilter(t *Template, words []string) (part, error) {
	if len(words) < 1 {
		return nil, fmt.Errorf("$(filter) has no arguments, want a condition and lists")
	}
	args, err := parseArgs(t, words[1:])
	cond := t.condition("filter", words[0])
	return macro(func(dst []byte, m *logmsg.Message, c *Context) []byte {
		outer, start := m.Item, len(dst)
		for _, m.Item = range allItems(args, m, c) {
			if !(*cond)(m) {
				continue
			}
			if len(dst) > start && dst[len(dst)-1] != ',' {
				dst = append(dst, ',')
			}
			dst = append(dst, m.Item...) // as it is, syslog-ng puts no quotes around it
		}
		m.Item = outer
		return dst
	}), err
}

// appendMatches appends a list of what the groups of the last pattern matched.
func appendMatches(dst []byte, m *logmsg.Message, _ *Context) []byte {
	var items [][]byte
	for i, name := range logmsg.Matches[1:] {
		if value := m.Value(name); value != nil {
			items = append(items, slices.Repeat([][]byte{nil}, i-len(items))...)
			items = append(items, value)
		}
	}
	return appendList(dst, items)
}
