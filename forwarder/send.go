package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os/signal"
	"slices"
	"syscall"
	"text/tabwriter"
	"time"

	"kad/forwarder/internal/loadgen"
	"kad/pkg/cli"
	"kad/pkg/syslog"
)

// address is how help names an address.
const addressForms = "HOST:PORT for TCP, or tcp://, udp://, tls://, relp://, relps:// (with TLS) HOST:PORT, unix://, unixgram:///PATH"

func sendCommand() *cli.Command {
	return &cli.Command{
		Name: "send", Usage: "send numbered messages, receive them at sinks, and count what got lost", ArgsUsage: "[SERVER...]", Action: send,
		Description: "A SERVER is " + addressForms + ". Each connection begins with the first one; what a server has\n" +
			"not acknowledged when it fails is sent to the next one: by RELP the server itself, else its kernel. With sinks and no\n" +
			"server, send only receives, until nothing has come for --wait, and judges what others have sent.",
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "sink", Usage: "receive at `ADDRESS`, which has the forms of SERVER without RELP; file:///PATH reads a file"},
			&cli.IntFlag{Name: "rate", Usage: "send `N` messages a second; 0: as fast as they are taken"},
			&cli.IntFlag{Name: "count", Usage: "send `N` messages"},
			&cli.DurationFlag{Name: "duration", Usage: "send for `TIME`; without --count 10s"},
			&cli.IntFlag{Name: "size", Usage: "send messages of `BYTES`", Value: 250},
			&cli.IntFlag{Name: "connections", Usage: "send over `N` connections", Value: 1},
			&cli.EnumFlag{StringFlag: cli.StringFlag{Name: "format", Usage: "send messages as `FORMAT`: rfc3164 or rfc5424", Value: "rfc3164"}, Values: []string{"rfc3164", "rfc5424"}},
			&cli.EnumFlag{StringFlag: cli.StringFlag{Name: "framing", Usage: "send streams with `FRAMING`: newline or octet_counting", Value: "newline"}, Values: []string{"newline", "octet_counting"}},
			&cli.DurationFlag{Name: "timeout", Usage: "take a server for failed that takes nothing for `TIME`", Value: 10 * time.Second},
			&cli.DurationFlag{Name: "wait", Usage: "wait `TIME` for a server, and for messages that have not come", Value: 5 * time.Second},
			&cli.StringFlag{Name: "ca-file", Usage: "trust the certificates in `FILE`; a sink wants one of its clients then"},
			&cli.StringFlag{Name: "cert-file", Usage: "show the certificate in `FILE`"},
			&cli.StringFlag{Name: "key-file", Usage: "use the key of the certificate in `FILE`"},
			cli.OutputFlag("text", "json"),
		},
	}
}

func addresses(list []string) (all []loadgen.Address, err error) {
	for _, text := range list {
		a, err := loadgen.ParseAddress(text)
		if err != nil {
			return nil, cli.Usagef("%v", err)
		}
		all = append(all, a)
	}
	return all, nil
}

func loadOptions(c *cli.Context, servers []loadgen.Address) loadgen.Options {
	o := loadgen.Options{
		Servers: servers, Connections: c.Int("connections"), Rate: float64(c.Int("rate")), Count: int64(c.Int("count")), Duration: c.Duration("duration"),
		Size: c.Int("size"), RFC5424: c.String("format") == "rfc5424", Timeout: c.Duration("timeout"), Wait: c.Duration("wait"), TLS: loadTLS(c),
	}
	if o.Count == 0 && o.Duration == 0 {
		o.Duration = 10 * time.Second
	}
	if c.String("framing") == "octet_counting" {
		o.Framing = syslog.OctetCounting
	}
	return o
}

func loadTLS(c *cli.Context) loadgen.TLS {
	return loadgen.TLS{CAFile: c.String("ca-file"), CertFile: c.String("cert-file"), KeyFile: c.String("key-file")}
}

func send(c *cli.Context) error {
	servers, err := addresses(c.Args().Slice())
	if err != nil {
		return err
	}
	sinks, err := addresses(c.StringSlice("sink"))
	if err != nil {
		return err
	}
	if len(servers)+len(sinks) == 0 {
		return cli.Usagef("send needs a SERVER to send to, or --sink to receive")
	}
	ctx, stop := signal.NotifyContext(c.Context, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	context.AfterFunc(ctx, stop) // the second signal ends the process
	report := sendReport{Schema: 1}
	switch log := slog.New(slog.NewTextHandler(c.App.ErrWriter, nil)); {
	case len(servers) == 0:
		err = receiveOnly(ctx, c, sinks, log, &report)
	default:
		err = sendTo(ctx, c, servers, sinks, log, &report)
	}
	if err != nil {
		return err
	}
	return report.print(c)
}

// sendTo sends, and receives if there are sinks.
func sendTo(ctx context.Context, c *cli.Context, servers, sinks []loadgen.Address, log *slog.Logger, report *sendReport) error {
	sender, err := loadgen.NewSender(loadOptions(c, servers), log)
	if err != nil {
		return cli.Usagef("%v", err)
	}
	tally := loadgen.NewTally(sender.RunID())
	sink, err := loadgen.Listen(sinks, tally, loadTLS(c), true, log)
	if err != nil {
		return err
	}
	receiving, end := context.WithCancel(context.Background())
	defer end()
	go sink.Run(receiving)
	p := startProgress(c, func() (int64, int64) {
		received, _ := tally.Received()
		return sender.Written(), received
	})
	sender.Run(ctx)
	total := sender.Tell(tally)
	if len(sinks) > 0 {
		awaitQuiet(ctx, tally, total, c.Duration("wait"))
	}
	p.end()
	sent := sender.Result()
	report.Sent = &sent
	if len(sinks) > 0 {
		judged := tally.Judge()
		report.Judged = &judged
	}
	return nil
}

// receiveOnly receives until nothing has come for a while; files are only read to their end.
func receiveOnly(ctx context.Context, c *cli.Context, sinks []loadgen.Address, log *slog.Logger, report *sendReport) error {
	tally := loadgen.NewTally(0)
	sink, err := loadgen.Listen(sinks, tally, loadTLS(c), false, log)
	if err != nil {
		return err
	}
	ctx, end := context.WithCancel(ctx)
	defer end()
	p := startProgress(c, func() (int64, int64) {
		received, _ := tally.Received()
		return 0, received
	})
	onlyFiles := !slices.ContainsFunc(sinks, func(a loadgen.Address) bool { return a.Transport != "file" })
	if !onlyFiles {
		go func() {
			awaitQuiet(ctx, tally, -1, c.Duration("wait"))
			end()
		}()
	}
	sink.Run(ctx)
	p.end()
	judged := tally.Judge()
	if onlyFiles {
		judged.Latency = nil // it would be that of reading
	}
	report.Judged = &judged
	return nil
}

// awaitQuiet waits until the total has come, or nothing has for so long. Where the total is not known (-1), it first waits for
// a message, and ends with ctx.
func awaitQuiet(ctx context.Context, tally *loadgen.Tally, total int64, wait time.Duration) {
	began := time.Now()
	for total >= 0 || ctx.Err() == nil {
		received, last := tally.Received()
		if last.Before(began) && total >= 0 {
			last = began
		}
		if received == total || !last.IsZero() && time.Since(last) > wait {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// A sendReport is the result of send. Its parts are nil where nothing was sent or received.
type sendReport struct {
	Schema int `json:"schema"`
	*loadgen.Sent
	*loadgen.Judged
}

// print writes the report; it is an error if something got lost.
func (r *sendReport) print(c *cli.Context) error {
	if c.String("output") == "json" {
		if err := json.NewEncoder(c.App.Writer).Encode(r); err != nil {
			return err
		}
	} else if err := r.printText(c.App.Writer); err != nil {
		return err
	}
	if r.Sent != nil && r.Sent.Unsent > 0 || r.Judged != nil && r.Judged.Lost > 0 {
		return cli.Exit(cli.Failure, nil)
	}
	return nil
}

func (r *sendReport) printText(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name string, n int64, remark string) {
		line := fmt.Sprintf("%s\t%d", name, n)
		if remark != "" {
			line += "\t" + remark
		}
		fmt.Fprintln(w, line)
	}
	if s := r.Sent; s != nil {
		row("sent", s.Sent, fmt.Sprintf("%.0f/s for %.1fs", perSecond(s.Sent, s.SendSeconds), s.SendSeconds))
		printLatency(w, "answered", s.Answers)
		if s.Reconnects > 0 {
			row("sent again", s.Resent, fmt.Sprintf("after %d reconnects", s.Reconnects))
		}
		if s.Unsent > 0 {
			row("not sent", s.Unsent, "no server took them")
		}
	}
	if j := r.Judged; j != nil {
		atLeast := ""
		if j.Endless > 0 {
			atLeast = fmt.Sprintf("at least: the end of %d connections has not come", j.Endless)
		}
		row("received", j.Received, fmt.Sprintf("%.0f/s", perSecond(j.Received, j.ReceiveSeconds)))
		row("lost", j.Lost, atLeast)
		row("duplicated", j.Duplicated, "")
		row("reordered", j.Reordered, "")
		if j.Foreign > 0 {
			row("foreign", j.Foreign, "are of no run, or of another one")
		}
		printLatency(w, "latency", j.Latency)
	}
	return w.Flush()
}

func printLatency(w io.Writer, name string, l *loadgen.Latency) {
	if l != nil {
		fmt.Fprintf(w, "%s\tp50 %.2f ms, p99 %.2f ms, p99.9 %.2f ms, max %.2f ms\n", name, l.P50, l.P99, l.P999, l.Max)
	}
}

func perSecond(n int64, seconds float64) float64 { return float64(n) / max(seconds, 1e-6) }
