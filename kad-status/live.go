package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"kad/pkg/keepalived"
	"kad/pkg/vip"
)

// askLocal asks every keepalived of this host, side by side, for its state. It returns
// those that answered, in the order in which they were found, and what went wrong with
// the others.
func askLocal(ctx context.Context, opt keepalived.FindOptions) ([]*daemon, error) {
	procs, err := keepalived.Find(opt)
	if err != nil {
		return nil, err
	}
	daemons := make([]*daemon, len(procs))
	errs := make([]error, len(procs))
	var wg sync.WaitGroup
	for i, p := range procs {
		wg.Go(func() { daemons[i], errs[i] = ask(ctx, p) })
	}
	wg.Wait()
	answered := daemons[:0]
	for _, d := range daemons {
		if d != nil {
			answered = append(answered, d)
		}
	}
	return answered, errors.Join(errs...)
}

func ask(ctx context.Context, p *keepalived.Process) (*daemon, error) {
	d := &daemon{Name: p.Name, NetNamespace: p.NetNamespace, PIDs: p.PIDs(), Root: p.Root()}
	var err error
	if d.Dump, err = p.Dump(ctx); err != nil {
		return nil, err
	}
	if d.Addresses, err = vip.List(p.NetNS()); err != nil {
		return nil, err
	}
	d.readConfig(p)
	return d, nil
}

// readConfig reads the configured roles. What keepalived holds as loaded text is the
// rejected one after a failed reload (2.2): it is believed only if it names the
// instances that run.
func (d *daemon) readConfig(p *keepalived.Process) {
	config, source, err := p.Config()
	switch {
	case err != nil:
		d.ConfigErr = err
	case source.Loaded && !sameInstances(config, d.Dump):
		d.ConfigErr = fmt.Errorf("%s does not name the instances that run: a reload was rejected", source)
	default:
		d.Config, d.RolesFrom = config, source.String()
	}
}

func sameInstances(c *keepalived.Config, dump *keepalived.Dump) bool {
	if len(c.Instances) != len(dump.Instances) {
		return false
	}
	for _, in := range dump.Instances {
		if c.Instance(in.Name) == nil {
			return false
		}
	}
	return true
}

// unanswered is the view of a host where no keepalived could be asked. One that was
// killed leaves its VIPs behind, which another host has taken meanwhile.
func unanswered(host string, at time.Time, why error) *hostView {
	h := newHostView(host, at, nil)
	h.Error = why.Error()
	h.Addresses, _ = vip.List("")
	config, err := keepalived.LoadConfig(keepalived.DefaultConfig, keepalived.ConfigOptions{})
	if err != nil {
		return h
	}
	for _, in := range config.Instances {
		for _, v := range slices.Concat(in.VIPs, in.Excluded) {
			if _, held := vip.Held(h.Addresses, v.Prefix.Addr()); held {
				h.Stray = append(h.Stray, v.Prefix.Addr().String())
			}
		}
	}
	return h
}
