package main

import (
	"context"
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"kad/forwarder/internal/control"
	"kad/forwarder/internal/stats"
	"kad/pkg/cli"
)

var socketFlag = &cli.StringFlag{Name: "socket", Usage: "ask the forwarder whose control socket is `FILE`", Value: control.DefaultSocket}

// askTimeout is how long an answer may take.
const askTimeout = 30 * time.Second

func request(c *cli.Context, method, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(c.Context, askTimeout)
	defer cancel()
	return control.Ask(ctx, c.String("socket"), method, path)
}

// ask makes an action of a request whose answer is whether it worked.
func ask(method, path string) func(c *cli.Context) error {
	return func(c *cli.Context) error {
		_, err := request(c, method, path)
		return err
	}
}

// status prints the counters.
func status(c *cli.Context) error {
	body, err := request(c, "GET", "/v1/status")
	if err != nil {
		return err
	}
	if c.String("output") == "json" {
		_, err := c.App.Writer.Write(body)
		return err
	}
	var s stats.Snapshot
	if err := json.Unmarshal(body, &s); err != nil {
		return err
	}
	w := tabwriter.NewWriter(c.App.Writer, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SOURCE\tDRIVER\tRECEIVED")
	for _, source := range s.Sources {
		fmt.Fprintf(w, "%s\t%d\t%d\n", source.Name, source.Driver, source.Received)
	}
	fmt.Fprintln(w, "\nDESTINATION\tROUTED\tSENT\tDROPPED\tQUEUED")
	for _, d := range s.Destinations {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\n", d.Name, d.Routed, d.Sent, d.Dropped, d.Queued)
	}
	return w.Flush()
}
