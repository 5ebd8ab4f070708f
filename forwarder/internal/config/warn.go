package config

import (
	"slices"
	"strings"

	"kad/pkg/conf"
)

// inert are the options that syslog-ng's way of working needs and ours does not: they are taken, and do nothing.
var inert = []string{"log_iw_size", "log_fetch_limit", "flush_lines", "throttle", "local_time_zone"}

// warnings tells of what is not wrong and does not do what its writer may expect.
func warnings(name string, data []byte) []*conf.Error {
	var root document
	file, _ := conf.Decode(name, data, &root) // it was decoded before
	for _, path := range file.Paths() {
		section, rest, _ := strings.Cut(path, ".")
		isOption := section == "options" || (section == "source" || section == "destination") && strings.Contains(rest, ".")
		if key := path[strings.LastIndexByte(path, '.')+1:]; isOption && slices.Contains(inert, key) {
			file.Errorf(path, "this option has no effect")
		}
	}
	return file.Errors()
}
