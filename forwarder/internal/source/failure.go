package source

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

// A failure is why a source that connects to servers does not work.
type failure struct {
	text atomic.Pointer[string] // nil: it works
}

// set logs the first error, and each that differs.
func (f *failure) set(err error, logger *slog.Logger) {
	text := err.Error()
	if before := f.text.Swap(&text); before == nil || *before != text {
		logger.Warn("source failed, it is tried again", "error", err)
	}
}

func (f *failure) clear() { f.text.Store(nil) }

// String is empty while the source works.
func (f *failure) String() string {
	if text := f.text.Load(); text != nil {
		return *text
	}
	return ""
}

// rest waits before the next attempt, unless ctx ends.
func rest(ctx context.Context, wait time.Duration) {
	select {
	case <-time.After(wait):
	case <-ctx.Done():
	}
}
