package config

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"kad/forwarder/internal/destination"
	"kad/forwarder/internal/option"
	"kad/forwarder/internal/queue"
	"kad/forwarder/internal/source"
	"kad/pkg/conf"
)

// A placed is a driver and where the file has it.
type placed struct {
	path   string
	driver any
	name   string // of the destination, to which its disk buffer belongs
}

// CheckEnvironment looks at what the configuration needs of this host: certificates, directories, disk buffers, addresses.
// It changes nothing.
func (c *Config) CheckEnvironment() (errs, warnings []*conf.Error) {
	var root document
	bad, _ := conf.Decode(c.name, c.data, &root) // it was decoded before
	odd, _ := conf.Decode(c.name, c.data, &root)
	for i, d := range c.drivers {
		report := func(key string, severe bool, err error) {
			if severe {
				bad.Errorf(d.path+"."+key, "%v", err)
			} else {
				odd.Errorf(d.path+"."+key, "%v", err)
			}
		}
		if checker, ok := d.driver.(option.Checker); ok {
			checker.CheckEnvironment(report)
		}
		if s, ok := d.driver.(source.Driver); ok {
			for _, other := range c.drivers[:i] {
				if o, ok := other.driver.(source.Driver); ok && source.Conflicts(s, o) {
					bad.Errorf(d.path, "%s listens at the same address", other.path)
				}
			}
		}
	}
	c.checkQueues(bad, odd)
	return bad.Errors(), odd.Errors()
}

// checkQueues looks at the disk buffers, also at those that belong to no destination.
func (c *Config) checkQueues(bad, odd *conf.File) {
	owners := map[string]map[string]string{} // directory -> queue -> path in the file
	for _, d := range c.drivers {
		driver, ok := d.driver.(destination.Driver)
		if !ok || driver.Settings().DiskBuffer == nil {
			continue
		}
		dir, at := driver.Settings().DiskBuffer.Dir, d.path+".disk_buffer"
		if owners[dir] == nil {
			owners[dir] = map[string]string{}
			if err := option.CheckDirectory(dir, true); err != nil {
				bad.Errorf(at, "%v", err)
			}
		}
		owners[dir][queue.Path(dir, d.name)] = at
	}
	for _, dir := range slices.Sorted(maps.Keys(owners)) {
		c.checkQueueDir(dir, owners[dir], odd)
	}
}

func (c *Config) checkQueueDir(dir string, owners map[string]string, odd *conf.File) {
	found, _ := queue.List(dir) // there may be none yet
	for _, path := range found {
		s, err := queue.Inspect(path, nil)
		at, owned := owners[path]
		switch {
		case err != nil:
			odd.Errorf(at, "disk buffer %s: %v", path, err)
		case !owned && s.Messages > 0:
			at = slices.Sorted(maps.Values(owners))[0]
			odd.Hintf(at, "forwarder queue adopt moves them", "disk buffer %s has %s and belongs to no destination", filepath.Base(path), plural(s.Messages, "message"))
		case len(s.Damage) > 0:
			odd.Hintf(at, "forwarder queue verify tells them", "disk buffer %s has %s", path, plural(len(s.Damage), "damaged place"))
		}
	}
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
