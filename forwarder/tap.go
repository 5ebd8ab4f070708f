package main

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"unicode"

	"kad/forwarder/internal/control"
	"kad/pkg/cli"
)

// tapJSON is a message as -o json shows it.
const tapJSON = "$(format-json --scope selected-macros --scope nv-pairs --scope sdata ISODATE=$ISODATE)"

func tapCommand() *cli.Command {
	return &cli.Command{
		Name: "tap", Usage: "show the messages that pass a source, a log path or a destination now", ArgsUsage: "POINT",
		Description: "A POINT is source.NAME, log.NAME, log.OUTER.INNER or destination.NAME; NAME alone does where\n" +
			"only one has it. At a destination a message is shown as it is sent, at a log path as it came to\n" +
			"it, if that has processed it. What is more than --rate, or than can be written, is not shown:\n" +
			"nothing waits for a tap.",
		Flags: []cli.Flag{
			socketFlag, cli.OutputFlag("text", "json"),
			&cli.StringFlag{Name: "filter", Usage: "only messages for which `EXPR` is true, as in a filter, or the name of a filter"},
			&cli.StringFlag{Name: "template", Usage: "show a message as `TEMPLATE` has it"},
			&cli.IntFlag{Name: "count", Usage: "end after `N` messages; 0 means never"},
			&cli.IntFlag{Name: "rate", Value: 100, Usage: "show at most `N` messages a second"},
		},
		Action: tap,
	}
}

func tap(c *cli.Context) error {
	if c.Args().Len() != 1 {
		return cli.Usagef("tap takes one point, found %d", c.Args().Len())
	}
	query := url.Values{"point": c.Args().Slice(), "filter": {c.String("filter")}, "template": {c.String("template")}, "rate": {strconv.Itoa(c.Int("rate"))}}
	if c.String("output") == "json" {
		if c.String("template") != "" {
			return cli.Usagef("--template is for -o text")
		}
		query.Set("template", tapJSON)
	}
	body, err := control.Open(c.Context, c.String("socket"), "GET", "/v1/tap?"+query.Encode())
	if err != nil {
		return exitCode(err)
	}
	defer body.Close()
	left := c.Int("count")
	var failed error
	err = control.ReadTap(body, func(line control.TapLine) bool {
		if line.Message == nil {
			fmt.Fprintf(c.App.ErrWriter, "%s: tap: %s not shown so far\n", c.App.Name, plural(line.Dropped, "message", "messages"))
			return true
		}
		_, failed = fmt.Fprintln(c.App.Writer, strings.Map(harmless, *line.Message))
		left--
		return failed == nil && left != 0
	})
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return cli.Exit(cli.Unreachable, errors.New("the forwarder has stopped"))
	}
	return errors.Join(failed, err)
}

// harmless replaces what would move the cursor of a terminal or end the line.
func harmless(r rune) rune {
	if r == '\t' || unicode.IsPrint(r) {
		return r
	}
	return unicode.ReplacementChar
}
