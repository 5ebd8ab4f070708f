package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"kad/pkg/keepalived"
	"kad/pkg/vip"
)

// A savedFiles names what was saved of a keepalived: a support bundle.
type savedFiles struct {
	Data, Config, Addresses string
	HostID                  string
}

// readSaved makes a daemon of saved files, without asking anybody.
func readSaved(f savedFiles) (*daemon, error) {
	d := &daemon{NoAddrs: f.Addresses == "", ConfigErr: errors.New("no --config given")}
	var err error
	if d.Dump, err = readDump(f.Data); err != nil {
		return nil, err
	}
	if f.Addresses != "" {
		data, err := readFile(f.Addresses)
		if err != nil {
			return nil, err
		}
		if d.Addresses, err = vip.ParseIP(data); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Addresses, err)
		}
	}
	if f.Config != "" {
		d.Config, d.ConfigErr = savedConfig(f, d.Dump)
		if d.Config != nil {
			d.RolesFrom = f.Config
		}
	}
	return d, nil
}

// readDump reads a dump of either format.
func readDump(name string) (*keepalived.Dump, error) {
	data, err := readFile(name)
	if err != nil {
		return nil, err
	}
	parse := keepalived.ParseDump
	if start := bytes.TrimLeft(data, " \t\r\n"); len(start) > 0 && (start[0] == '[' || start[0] == '{') {
		parse = keepalived.ParseDumpJSON
	}
	dump, err := parse(data)
	if syntax, ok := errors.AsType[*keepalived.SyntaxError](err); ok {
		syntax.File = name
	}
	return dump, err
}

// readFile reads no more than a dump may have, and one byte that tells.
func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, keepalived.MaxDump+1))
}

// savedConfig reads the configuration as the host that wrote the dump read it. Its host
// name decides about @host lines; when it is not given, it is the one of the names used
// in the file with which the file agrees best with the dump.
func savedConfig(f savedFiles, dump *keepalived.Dump) (*keepalived.Config, error) {
	ids := []string{f.HostID}
	if f.HostID == "" {
		var err error
		if ids, err = keepalived.ConfigHostIDs(f.Config); err != nil {
			return nil, err
		}
		ids = append([]string{dump.RouterID}, ids...)
	}
	var best *keepalived.Config
	score := -1
	for _, id := range ids {
		c, err := keepalived.LoadConfig(f.Config, keepalived.ConfigOptions{HostID: id})
		if err != nil {
			return nil, err
		}
		if s := agreement(c, dump); s > score {
			best, score = c, s
		}
	}
	return best, nil
}

// agreement counts what c and dump say alike of their instances.
func agreement(c *keepalived.Config, dump *keepalived.Dump) int {
	n := 0
	for _, in := range dump.Instances {
		k := c.Instance(in.Name)
		if k == nil {
			continue
		}
		n++
		if k.VRID == in.VRID {
			n++
		}
		if k.Priority == in.Priority {
			n++
		}
		for _, v := range in.VIPs {
			for _, w := range k.VIPs {
				if v.Prefix == w.Prefix {
					n++
				}
			}
		}
	}
	return n
}
