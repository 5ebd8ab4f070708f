package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"kad/forwarder/internal/control"
	"kad/pkg/cli"
	daemon "kad/pkg/control"
)

var socketFlag = &cli.StringFlag{Name: "socket", Usage: "ask the forwarder whose control socket is `FILE`", Value: daemon.ForwarderSocket}

// askTimeout is how long an answer may take.
const askTimeout = 30 * time.Second

func request(c *cli.Context, method, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(c.Context, askTimeout)
	defer cancel()
	body, err := control.Ask(ctx, c.String("socket"), method, path)
	return body, exitCode(err)
}

// exitCode gives an error of control its exit code.
func exitCode(err error) error {
	if _, ok := errors.AsType[*control.UnreachableError](err); ok {
		return cli.Exit(cli.Unreachable, err)
	}
	if refused, ok := errors.AsType[*control.RefusedError](err); ok && (refused.Status == http.StatusNotFound || refused.Status == http.StatusBadRequest) {
		return cli.Exit(cli.Usage, err)
	}
	return err
}

// logLevel prints or sets the level of the log.
func logLevel(c *cli.Context) error {
	if c.Args().Len() > 1 {
		return cli.Usagef("log-level takes one level, found %d", c.Args().Len())
	}
	if level := c.Args().First(); level != "" {
		_, err := request(c, "PUT", "/v1/log-level/"+url.PathEscape(level))
		return err
	}
	body, err := request(c, "GET", "/v1/log-level")
	if err != nil {
		return err
	}
	var answer struct{ Level string }
	if err := json.Unmarshal(body, &answer); err != nil {
		return err
	}
	_, err = fmt.Fprintln(c.App.Writer, answer.Level)
	return err
}

// ask makes an action of a request whose answer is whether it worked.
func ask(method, path string) func(c *cli.Context) error {
	return func(c *cli.Context) error {
		_, err := request(c, method, path)
		return err
	}
}
