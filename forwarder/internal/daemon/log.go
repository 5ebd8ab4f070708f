package daemon

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"kad/forwarder/internal/source"
	"kad/pkg/syslog"
)

func textHandler(w io.Writer, level slog.Leveler) slog.Handler {
	return slog.NewTextHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey && os.Getenv("JOURNAL_STREAM") != "" {
			return slog.Attr{} // the journal has it
		}
		return a
	}})
}

// A handler logs, and gives what it logs to the internal sources.
type handler struct {
	slog.Handler
	level    *slog.LevelVar
	internal atomic.Pointer[[]*source.Internal]
	attrs    []slog.Attr
	parent   *handler
}

func newHandler(w io.Writer) *handler {
	level := new(slog.LevelVar)
	return &handler{Handler: textHandler(w, level), level: level}
}

// WithAttrs keeps the attributes for the internal sources too.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &handler{Handler: h.Handler.WithAttrs(attrs), attrs: append(h.attrs[:len(h.attrs):len(h.attrs)], attrs...), parent: h.root()}
}

func (h *handler) root() *handler {
	if h.parent != nil {
		return h.parent
	}
	return h
}

// Handle logs r.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	if internal := h.root().internal.Load(); internal != nil && len(*internal) > 0 {
		line := h.line(r)
		for _, in := range *internal {
			in.Log(line)
		}
	}
	return h.Handler.Handle(ctx, r)
}

// line is r as a syslog message.
func (h *handler) line(r slog.Record) []byte {
	severity := map[slog.Level]syslog.Severity{slog.LevelError: syslog.Err, slog.LevelWarn: syslog.Warning, slog.LevelInfo: syslog.Info}
	s, ok := severity[r.Level]
	if !ok {
		s = syslog.Debug
	}
	line := syslog.AppendPriority(nil, syslog.NewPriority(syslog.Syslog, s))
	line = r.Time.AppendFormat(line, time.RFC3339)
	line = fmt.Appendf(line, " forwarder[%d]: %s", os.Getpid(), r.Message)
	add := func(a slog.Attr) bool {
		line = append(append(append(append(line, ' '), a.Key...), '='), strconv.Quote(a.Value.String())...)
		return true
	}
	for _, a := range h.attrs {
		add(a)
	}
	r.Attrs(add)
	return line
}
