package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"kad/pkg/cli"
)

// A progress says on standard error what has been done: each second on a terminal, on one line; else each progressPause.
type progress struct {
	out      io.Writer
	terminal bool
	total    int64         // 0: not known
	duration time.Duration // 0: not known
	began    time.Time
	counts   func() (sent, received int64)
	stop     chan struct{}
	stopped  chan struct{}
}

const progressPause = 10 * time.Second

func startProgress(c *cli.Context, counts func() (sent, received int64)) *progress {
	p := &progress{
		out: c.App.ErrWriter, total: int64(c.Int("count")), duration: c.Duration("duration"), began: time.Now(), counts: counts,
		stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	pause := progressPause
	if f, ok := p.out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.terminal, pause = true, time.Second/5
	}
	go p.run(pause)
	return p
}

func (p *progress) run(pause time.Duration) {
	defer close(p.stopped)
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		select {
		case <-p.stop:
			if p.terminal {
				fmt.Fprint(p.out, "\r\x1b[K")
			}
			return
		case <-tick.C:
			p.show()
		}
	}
}

func (p *progress) end() {
	close(p.stop)
	<-p.stopped
}

func (p *progress) show() {
	sent, received := p.counts()
	took := time.Since(p.began)
	line := fmt.Sprintf("%.0fs: %d sent, %d received", took.Seconds(), sent, received)
	if !p.terminal {
		fmt.Fprintln(p.out, line)
		return
	}
	done := -1.0
	switch {
	case p.total > 0:
		done = float64(sent) / float64(p.total)
	case p.duration > 0:
		done = took.Seconds() / p.duration.Seconds()
	}
	if done >= 0 {
		const width = 30
		full := int(min(done, 1) * width)
		line = "[" + strings.Repeat("#", full) + strings.Repeat("-", width-full) + "] " + line
	}
	fmt.Fprint(p.out, "\r\x1b[K"+line)
}
