package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"text/tabwriter"
	"time"

	"kad/forwarder/internal/queue"
	"kad/pkg/cli"
)

var dirFlag = &cli.StringFlag{Name: "dir", Usage: "look for disk buffers in `DIRECTORY`", Value: queue.DefaultDir}

func queueCommand() *cli.Command {
	output := cli.OutputFlag("text", "json")
	return &cli.Command{
		Name: "queue", Usage: "look into disk buffers, and rescue what is in them",
		Subcommands: []*cli.Command{
			{Name: "ls", Usage: "list the disk buffers and what they have", Flags: []cli.Flag{dirFlag, output}, Action: listQueues},
			{Name: "verify", Usage: "read the disk buffers, or those named, and tell their damage", ArgsUsage: "[NAME...]", Flags: []cli.Flag{dirFlag, output}, Action: verifyQueues},
			{
				Name: "dump", Usage: "print the messages of a disk buffer that are not sent", ArgsUsage: "NAME", Action: dumpQueue,
				Flags: []cli.Flag{dirFlag, output, &cli.BoolFlag{Name: "all", Usage: "print those too that are sent and still there"}},
			},
			{
				Name: "requeue", Usage: "append to a disk buffer what of its quarantine can be read; not while the forwarder runs", ArgsUsage: "NAME",
				Flags: []cli.Flag{dirFlag}, Action: requeue,
			},
			{
				Name: "adopt", Usage: "move the messages of one disk buffer to the end of another; not while the forwarder runs", ArgsUsage: "FROM TO",
				Flags: []cli.Flag{dirFlag}, Action: adoptQueue,
			},
		},
	}
}

// inspectQueues reads the disk buffers that are named, or all.
func inspectQueues(c *cli.Context) ([]queue.Status, error) {
	var directories []string
	for _, name := range c.Args().Slice() {
		directories = append(directories, queue.Path(c.String("dir"), name))
	}
	if len(directories) == 0 {
		var err error
		if directories, err = queue.List(c.String("dir")); err != nil {
			return nil, err
		}
	}
	list := []queue.Status{}
	for _, d := range directories {
		s, err := queue.Inspect(d, nil)
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}

func listQueues(c *cli.Context) error {
	list, err := inspectQueues(c)
	if err != nil {
		return err
	}
	if c.String("output") == "json" {
		return json.NewEncoder(c.App.Writer).Encode(list)
	}
	w := tabwriter.NewWriter(c.App.Writer, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "QUEUE\tMESSAGES\tBYTES\tSEGMENTS\tOLDEST\tQUARANTINE\tDIRECTORY")
	for _, s := range list {
		oldest := "-"
		if !s.Oldest.IsZero() {
			oldest = s.Oldest.Format(time.RFC3339)
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%s\t%d\t%s\n", s.Name, s.Messages, s.Bytes, s.Segments, oldest, s.Quarantined, s.Directory)
	}
	return w.Flush()
}

// verifyQueues fails if there is damage.
func verifyQueues(c *cli.Context) error {
	list, err := inspectQueues(c)
	if err != nil {
		return err
	}
	damaged := false
	for _, s := range list {
		damaged = damaged || len(s.Damage) > 0
		if c.String("output") == "text" {
			for _, d := range s.Damage {
				fmt.Fprintf(c.App.Writer, "%s: %d bytes at %d are damaged\n", d.File, d.Bytes, d.Offset)
			}
		}
	}
	if c.String("output") == "json" {
		if err := json.NewEncoder(c.App.Writer).Encode(list); err != nil {
			return err
		}
	}
	if damaged {
		return cli.Exit(cli.Failure, nil)
	}
	return nil
}

// dumpedMessage is one line of dump's JSON.
type dumpedMessage struct {
	Number       uint64    `json:"number"`
	Written      time.Time `json:"written"`
	Key          string    `json:"key,omitempty"`
	Acknowledged bool      `json:"acknowledged"`
	Message      string    `json:"message"`
}

func dumpQueue(c *cli.Context) error {
	if c.Args().Len() != 1 {
		return cli.Usagef("dump takes the name of one disk buffer, found %d", c.Args().Len())
	}
	name := c.Args().First()
	out := json.NewEncoder(c.App.Writer)
	s, err := queue.Inspect(queue.Path(c.String("dir"), name), func(m queue.Message) error {
		if m.Acknowledged && !c.Bool("all") {
			return nil
		}
		if c.String("output") == "json" {
			return out.Encode(dumpedMessage{m.Number, m.Written, m.Key, m.Acknowledged, string(m.Data)})
		}
		_, err := c.App.Writer.Write(m.Data)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return cli.Hint(fmt.Errorf("no disk buffer %q in %s", name, c.String("dir")), "forwarder queue ls lists them, --dir names another directory")
	}
	if len(s.Damage) > 0 {
		fmt.Fprintf(c.App.ErrWriter, "forwarder: %d places are damaged, queue verify tells them\n", len(s.Damage))
	}
	return err
}

func requeue(c *cli.Context) error {
	if c.Args().Len() != 1 {
		return cli.Usagef("requeue takes the name of one disk buffer, found %d", c.Args().Len())
	}
	messages, left, err := queue.Requeue(c.String("dir"), c.Args().First(), rescueLog(c))
	fmt.Fprintf(c.App.Writer, "%d messages appended, %d files stay in quarantine\n", messages, left)
	return err
}

func adoptQueue(c *cli.Context) error {
	if c.Args().Len() != 2 || c.Args().Get(0) == c.Args().Get(1) {
		return cli.Usagef("adopt takes the names of two disk buffers, found %q", c.Args().Slice())
	}
	moved, err := queue.Adopt(c.String("dir"), c.Args().Get(0), c.Args().Get(1), rescueLog(c))
	fmt.Fprintf(c.App.Writer, "%d messages moved\n", moved)
	return err
}

func rescueLog(c *cli.Context) *slog.Logger {
	return slog.New(slog.NewTextHandler(c.App.ErrWriter, nil))
}
