package destination

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kad/forwarder/internal/template"
)

// A syncLog is written by a timer, and read by the test.
type syncLog struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (l *syncLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *syncLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// However many messages are dropped, the log tells when that began, and how many it were when it has ended.
func TestDropsLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log syncLog
		var d drops
		d.logger.Store(slog.New(slog.NewTextHandler(&log, nil)))
		for range 100 {
			d.add(3)
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if n := strings.Count(log.String(), "\n"); n != 1 {
			t.Errorf("%d lines while messages are dropped, want 1\n%s", n, log.String())
		}
		time.Sleep(dropsEnd)
		synctest.Wait()
		if got := log.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, "messages=300") {
			t.Errorf("got %s", got)
		}
		d.add(1)
		if n := strings.Count(log.String(), "\n"); n != 3 {
			t.Errorf("%d lines when it begins again, want 3", n)
		}
		time.Sleep(2 * dropsEnd)
	})
}

// What a driver cannot write and does not try again is dropped, not sent.
func TestDropsOfDriver(t *testing.T) {
	d := open(t, "d", driver("file", func(f *File) { f.Path = template.Must("/../$MSG") }))
	run(t, d, "<13>Oct 11 22:14:15 h app: a", "<13>Oct 11 22:14:15 h app: b")
	_, dropped, sent, _ := d.Counts()
	if dropped != 2 || sent != 0 || d.Dropped()[badName] != 2 {
		t.Errorf("%d sent, %d dropped: %v", sent, dropped, d.Dropped())
	}
}
