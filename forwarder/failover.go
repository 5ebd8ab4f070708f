package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"kad/forwarder/internal/stats"
	"kad/pkg/cli"
	"kad/pkg/spelling"
)

func failoverCommand() *cli.Command {
	steer := func(name, usage, args string) *cli.Command {
		return &cli.Command{Name: name, Usage: usage, ArgsUsage: args, Flags: []cli.Flag{socketFlag}, Action: steer}
	}
	return &cli.Command{
		Name: "failover", Usage: "see and choose the servers that destinations use",
		Subcommands: []*cli.Command{
			{
				Name: "status", Usage: "list the servers of all destinations that have some, or of those named", ArgsUsage: "[DESTINATION...]",
				Flags: []cli.Flag{socketFlag, cli.OutputFlag("table", "json")}, Action: failoverStatus,
			},
			steer("switch", "use another server, by default the next one, until it fails or the primary one is back", "DESTINATION [SERVER]"),
			steer("pin", "use a server, by default the one in use, and no other one until unpin", "DESTINATION [SERVER]"),
			steer("unpin", "use all servers again", "DESTINATION"),
		},
	}
}

// steer tells the server that a destination uses then.
func steer(c *cli.Context) error {
	verb, args := c.Command.Name, c.Args().Slice()
	most := 2
	if verb == "unpin" {
		most = 1
	}
	if len(args) == 0 || len(args) > most {
		return cli.Usagef("failover %s takes %s, found %d arguments", verb, strings.ToLower(c.Command.ArgsUsage), len(args))
	}
	path := "/v1/failover/" + url.PathEscape(args[0]) + "/" + verb
	if len(args) > 1 {
		path += "?server=" + url.QueryEscape(args[1])
	}
	body, err := request(c, "POST", path)
	if err != nil {
		return err
	}
	var d stats.Destination
	if err := json.Unmarshal(body, &d); err != nil {
		return err
	}
	pinned := ""
	if d.Server.IsPinned {
		pinned = ", pinned"
	}
	_, err = fmt.Fprintf(c.App.Writer, "%s: %s to %s%s\n", d.Name, d.State, d.Server.Current, pinned)
	return err
}

// failoverStatus lists servers.
func failoverStatus(c *cli.Context) error {
	body, err := request(c, "GET", "/v1/status")
	if err != nil {
		return err
	}
	var s stats.Snapshot
	if err := json.Unmarshal(body, &s); err != nil {
		return err
	}
	found, err := withServers(&s, c.Args().Slice())
	if err != nil {
		return err
	}
	if c.String("output") == "json" {
		return json.NewEncoder(c.App.Writer).Encode(map[string]any{"schema": s.Schema, "time": s.Time, "destinations": found})
	}
	_, err = fmt.Fprint(c.App.Writer, serverTable(&s, found))
	return err
}

// withServers are the destinations of these names, or all that have servers.
func withServers(s *stats.Snapshot, names []string) (found []stats.Destination, err error) {
	byName := map[string]stats.Destination{}
	var known []string
	for _, d := range s.Destinations {
		if d.Server != nil {
			byName[d.Name] = d
			known = append(known, d.Name)
		}
	}
	if len(names) == 0 {
		names = known
	}
	for _, name := range names {
		d, ok := byName[name]
		if !ok {
			hint := "it is not among " + strings.Join(known, ", ")
			if near := spelling.Nearest(name, known...); near != "" {
				hint = fmt.Sprintf("did you mean %q?", near)
			}
			return nil, cli.Exit(cli.Usage, fmt.Errorf("no destination %q with servers: %s", name, hint))
		}
		found = append(found, d)
	}
	return found, nil
}

// serverTable has a row for each server.
func serverTable(s *stats.Snapshot, list []stats.Destination) string {
	t := &table{heads: []string{"DESTINATION", "SERVER", "STATE", " SINCE", "ADDRESS"}}
	for _, d := range list {
		name := d.Name
		for i, server := range d.Server.Servers {
			since, address := "", ""
			if d.Server.IsCurrent(i) && d.State == stats.Connected {
				since, address = age(s.Time.Sub(d.Server.Since)), d.Server.Address
			}
			t.add(serverErrors(d.Server, i), name, server, serverState(&d, i), since, address)
			name = ""
		}
	}
	var b strings.Builder
	t.write(&b, 0)
	return b.String()
}

// serverState tells what a destination does with its server i.
func serverState(d *stats.Destination, i int) (state string) {
	v := d.Server
	switch {
	case v.IsCurrent(i) && d.State == stats.Connected:
		state = "in use"
	case v.IsCurrent(i):
		state = "tried"
	case i == 0 && v.GoodProbes > 0:
		state = plural(uint64(v.GoodProbes), "good probe", "good probes")
	case v.Errors[i] != "":
		state = "failed"
	}
	if v.IsPinned && v.IsCurrent(i) {
		state += ", pinned"
	}
	return state
}

// serverErrors are why it is not used.
func serverErrors(v *stats.Server, i int) (notes []string) {
	if v.Errors[i] != "" {
		notes = append(notes, "error: "+v.Errors[i])
	}
	if i == 0 && v.ProbeError != "" {
		notes = append(notes, "probe: "+v.ProbeError)
	}
	return notes
}
