// Command forwarder routes log messages as syslog-ng does, and never loses one that it took.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"syscall"

	"kad/forwarder/internal/config"
	"kad/forwarder/internal/convert"
	"kad/forwarder/internal/daemon"
	"kad/pkg/cli"
)

func main() { os.Exit(run(context.Background(), os.Args, os.Stdin, os.Stdout, os.Stderr)) }

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return cli.Run(ctx, newApp(), args, stdin, stdout, stderr)
}

// defaultConfig is where the packages put it.
const defaultConfig = "/etc/forwarder/forwarder.toml"

var configFlag = &cli.StringFlag{Name: "config", Aliases: []string{"c"}, Usage: "read the configuration from `FILE`", Value: defaultConfig}

var watchFlag = &cli.BoolFlag{Name: "watch", Usage: "show it again each second, with the rates since"}

var sourceFlag = &cli.StringFlag{Name: "source", Usage: "take it for a message of the source `NAME`; without it, of the first one"}

func newApp() *cli.App {
	return &cli.App{
		Name:  "forwarder",
		Usage: "route log messages as syslog-ng does, with failover that loses none",
		Commands: []*cli.Command{
			{Name: "run", Usage: "run in the foreground; SIGTERM drains and stops, SIGHUP reloads, SIGUSR1 opens files anew", Flags: []cli.Flag{configFlag}, Action: runDaemon},
			{Name: "status", Usage: "show what a forwarder that runs receives and sends, by which servers, and what waits", Flags: []cli.Flag{socketFlag, cli.OutputFlag("table", "wide", "json"), watchFlag}, Action: status},
			failoverCommand(),
			tapCommand(),
			{
				Name: "log-level", Usage: "tell from which level on a forwarder that runs logs, or change that", ArgsUsage: "[debug|info|warning|error]",
				Flags: []cli.Flag{socketFlag}, Action: logLevel,
			},
			{Name: "reload", Usage: "make it load its configuration again; the exit code tells whether it does", Flags: []cli.Flag{socketFlag}, Action: ask("POST", "/v1/reload")},
			{Name: "reopen", Usage: "make it open its files anew", Flags: []cli.Flag{socketFlag}, Action: ask("POST", "/v1/reopen")},
			{Name: "health", Usage: "tell by the exit code whether it works", Flags: []cli.Flag{socketFlag}, Action: ask("GET", "/v1/health")},
			{Name: "check", Usage: "tell everything that is wrong with the configuration", Flags: checkFlags, Action: check},
			{
				Name: "explain", Usage: "tell what happens to a message, or to each line of standard input", ArgsUsage: "[MESSAGE]", Action: explain,
				Flags: []cli.Flag{configFlag, sourceFlag, cli.OutputFlag("text", "json"), &cli.StringFlag{Name: "peer", Usage: "take `ADDRESS` for the sender", Value: "127.0.0.1"}},
			},
			{Name: "schema", Usage: "print the JSON Schema of the configuration, for editors", Action: printSchema},
			{Name: "test", Usage: "run the routing cases of a file", ArgsUsage: "FILE", Flags: []cli.Flag{configFlag}, Action: testRoutes},
			{Name: "graph", Usage: "draw the log paths", Flags: []cli.Flag{configFlag, cli.OutputFlag("text", "dot", "mermaid")}, Action: graph},
			queueCommand(),
			sendCommand(),
			{
				Name: "convert", Usage: "make forwarder.toml of a syslog-ng.conf", ArgsUsage: "SYSLOG-NG.CONF", Action: convertFile,
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write to `FILE` instead of standard output"},
					&cli.BoolFlag{Name: "partial", Usage: "write what can be converted, with the gaps as comments"},
				},
			},
		},
	}
}

// load reads the configuration that the flags name.
func load(c *cli.Context) (*config.Config, error) {
	got, err := config.Load(c.String("config"))
	if err == nil {
		return got, nil
	}
	if errors.Is(err, fs.ErrNotExist) && c.String("config") == defaultConfig {
		return nil, cli.Hint(cli.Exit(cli.BadConfig, err), "--config names another file")
	}
	return nil, cli.Exit(cli.BadConfig, err)
}

func runDaemon(c *cli.Context) error {
	ctx, stop := signal.NotifyContext(c.Context, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	d, err := daemon.New(func() (*config.Config, error) { return load(c) }, c.App.ErrWriter)
	if err != nil {
		return err
	}
	d.Version = cli.Version()
	return d.Run(ctx)
}

// convertFile prints what has no counterpart, and writes the configuration unless that is an error.
func convertFile(c *cli.Context) error {
	if c.Args().Len() != 1 {
		return cli.Usagef("convert takes one file, found %d", c.Args().Len())
	}
	name := c.Args().First()
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	result := convert.Convert(name, text, convert.Options{Partial: c.Bool("partial")})
	for _, d := range result.Diagnostics {
		fmt.Fprintln(c.App.ErrWriter, d)
	}
	if result.TOML != nil {
		if err := writeOutput(c, result.TOML); err != nil {
			return err
		}
	}
	if result.Failed {
		return cli.Exit(cli.Failure, nil)
	}
	return nil
}

func writeOutput(c *cli.Context, data []byte) error {
	if name := c.String("output"); name != "" {
		return os.WriteFile(name, data, 0o644)
	}
	_, err := c.App.Writer.Write(data)
	return err
}
