package config

import (
	"regexp"
	"slices"
	"strings"
	"sync"

	"kad/forwarder/internal/logpath"
	"kad/pkg/conf"
)

// warnings tells of what is not wrong and does not do what its writer may expect.
func (b *builder) warnings() []*conf.Error {
	file := b.File // in which nothing is wrong
	warnInert(file)
	b.warnUnused(file)
	for _, f := range logpath.Unreachable(b.config.Graph) {
		by := b.places[f.By]
		if f.Fallback {
			file.Hintf(b.places[f.Statement], "fallback statements get what no other one processes", "no message comes here: %s processes all of them", by)
		} else {
			file.Hintf(b.places[f.Statement], "give "+by+" a filter, or put it behind", "no message comes here: %s before it is final and takes them", by)
		}
	}
	return file.Errors()
}

// inert are the options that syslog-ng's way of working needs and ours does not: they are taken, and do nothing.
var inert = []string{"log_iw_size", "log_fetch_limit", "flush_lines", "throttle"}

// optionTables are the tables that have options of drivers, or of all.
var optionTables = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(options|(source|destination)\.[^.]+|(.*\.)?((source|destination|drivers)\[\d+\]|destination))$`)
})

func warnInert(file *conf.File) {
	for _, path := range file.Paths() {
		i := strings.LastIndexByte(path, '.')
		if i > 0 && slices.Contains(inert, path[i+1:]) && optionTables().MatchString(path[:i]) {
			file.Errorf(path, "this option has no effect")
		}
	}
}

// warnUnused tells of objects that nothing names.
func (b *builder) warnUnused(file *conf.File) {
	for kind, known := range map[string][]string{
		"source": names(b.sources), "destination": names(b.destinations), "filter": names(b.filters), "parser": names(b.parsers),
		"rewrite": names(b.rewrites), "template": names(b.templates),
	} {
		for _, name := range known {
			if !b.used[kind+" "+name] && !strings.HasPrefix(name, anonymous) {
				file.Errorf(join(kind, name), "nothing uses this %s", kind)
			}
		}
	}
}
