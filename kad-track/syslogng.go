package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"kad/pkg/control"
)

// syslogNG is syslog-ng with its control socket where the given path says, "" for where
// distributions (Debian, Red Hat), the sources and the Premium Edition have it.
func syslogNG(socket string) control.Daemon {
	if socket != "" {
		return control.Daemon{Name: "syslog-ng", Sockets: []string{socket}}
	}
	return control.Daemon{Name: "syslog-ng", Sockets: []string{
		"/var/lib/syslog-ng/syslog-ng.ctl",
		"/run/syslog-ng/syslog-ng.ctl",
		"/run/syslog-ng.ctl",
		"/usr/local/var/syslog-ng.ctl",
		"/opt/syslog-ng/var/run/syslog-ng.ctl",
	}}
}

// checkSyslogNG returns a probe that passes when syslog-ng's main thread answers. LICENSE is
// the one command that every version serves there, at no cost; HEALTHCHECK is unknown before
// 4.2, and STATS has a thread of its own since 3.36.
func checkSyslogNG(socket string, _ setting) (probe, error) {
	return func(ctx context.Context) (int, error) {
		return askSyslogNG(ctx, socket, "LICENSE", func(string) error { return nil })
	}, nil
}

// askSyslogNG sends a command (syslog-ng lib/control) and hands over the lines of the answer,
// which a line with a sole dot ends. It returns syslog-ng's process.
func askSyslogNG(ctx context.Context, socket, command string, line func(string) error) (int, error) {
	d := syslogNG(socket)
	conn, pid, err := d.Dial(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if _, err := conn.WriteString(command + "\n"); err != nil {
		return 0, d.Failed(conn, err)
	}
	answer := bufio.NewScanner(conn)
	answer.Buffer(make([]byte, 256), bufio.MaxScanTokenSize) // the 4 KiB it would begin with take 0.05 ms
	for answer.Scan() {
		if answer.Text() == "." {
			return pid, nil
		}
		if err := line(answer.Text()); err != nil {
			return 0, err
		}
	}
	return 0, d.Failed(conn, cmp.Or(answer.Err(), errors.New("closed before the answer was complete")))
}

// syslogNGCounters reads the counters of syslog-ng's destinations. A line of STATS CSV is
// SourceName;SourceId;SourceInstance;State;Type;Number. Of its states (a, d, o: active,
// dynamic, orphaned) the orphaned belong to destinations that the configuration no longer has.
func syslogNGCounters(ctx context.Context, socket string) ([]destination, error) {
	var list []destination
	_, err := askSyslogNG(ctx, socket, "STATS CSV", func(line string) error {
		f := strings.Split(line, ";")
		n := len(f)
		if n < 6 || !strings.HasPrefix(f[0], "dst.") || f[n-3] == "o" {
			return nil
		}
		d := destination{name: strings.Join(f[1:n-3], " ")}
		var err error
		switch f[n-2] {
		case "queued":
			d.queued, err = strconv.ParseUint(f[n-1], 10, 64)
		case "dropped":
			d.dropped, err = strconv.ParseUint(f[n-1], 10, 64)
		default:
			return nil
		}
		if err != nil {
			return fmt.Errorf("syslog-ng's counter %q: %q is not a number", line, f[n-1])
		}
		list = append(list, d)
		return nil
	})
	return list, err
}
