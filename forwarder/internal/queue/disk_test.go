package queue

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"kad/forwarder/internal/option"
	"kad/pkg/testneed"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("KAD_TEST_MOUNTED"); dir != "" {
		if err := onSmallDisk(dir); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

var silent = slog.New(slog.DiscardHandler)

func testOptions(t testing.TB) *Options {
	o := &Options{Dir: t.TempDir(), Reliable: true}
	if err := o.Init(); err != nil {
		t.Fatal(err)
	}
	return o
}

func open(t testing.TB, o *Options) *Disk {
	t.Helper()
	q, err := Open("d", o, silent)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// crash leaves the directory as a killed process does.
func (q *Disk) crash() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stopped, q.closed = true, true
	q.seal()
	_ = q.lock.Close()
}

// rest reads and acknowledges all that a queue has.
func rest(q Queue) (list []string) {
	q.Drain()
	for {
		batches := q.Next(1 << 20)
		if len(batches) == 0 {
			return list
		}
		list = append(list, texts(batches)...)
		q.Ack(len(batches))
	}
}

func numbers(from, to int) (list []string) {
	for i := from; i < to; i++ {
		list = append(list, fmt.Sprintf("message %d\n", i))
	}
	return list
}

func segmentFiles(t testing.TB, o *Options) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(Path(o.Dir, "d"), "*"+segmentSuffix))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func check(t testing.TB, what string, got, want []string) {
	t.Helper()
	if slices.Equal(got, want) {
		return
	}
	at := 0
	for at < len(got) && at < len(want) && got[at] == want[at] {
		at++
	}
	t.Fatalf("%s: %d messages, want %d; they differ at %d: %.3q, want %.3q", what, len(got), len(want), at, got[at:], want[at:])
}

// What was taken outlives a crash, what was acknowledged is not sent again after an orderly end.
func TestReopen(t *testing.T) {
	for _, test := range []struct {
		name     string
		reliable bool
		end      func(q *Disk) error
		want     int // first message that is there
	}{
		{"reliable, killed", true, func(q *Disk) error { q.crash(); return nil }, 0},
		{"reliable, killed after the position was saved", true, func(q *Disk) error { q.save(); q.crash(); return nil }, 10},
		{"reliable, closed", true, (*Disk).Close, 10},
		{"memory first, closed", false, (*Disk).Close, 10},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := testOptions(t)
			o.Reliable, o.FrontCacheSize = test.reliable, 25
			q := open(t, o)
			for i := 0; i < 100; i += 5 {
				if dropped := q.Append(batch(false, numbers(i, i+5)...)); dropped != 0 {
					t.Fatalf("%d dropped", dropped)
				}
			}
			if got := q.Len(); got != 100 {
				t.Errorf("%d messages, want 100", got)
			}
			check(t, "next", texts(q.Next(1)), numbers(0, 5))
			check(t, "next", texts(q.Next(1)), numbers(5, 10))
			q.Ack(2)
			check(t, "next", texts(q.Next(1)), numbers(10, 15))
			q.Rewind()
			check(t, "next after rewind", texts(q.Next(1)), numbers(10, 15))
			if err := test.end(q); err != nil {
				t.Fatal(err)
			}
			q = open(t, o)
			if got := q.Len(); got != 100-test.want {
				t.Errorf("%d messages after reopen, want %d", got, 100-test.want)
			}
			q.Append(batch(false, numbers(100, 103)...))
			check(t, "rest", rest(q), numbers(test.want, 103))
			if err := q.Close(); err != nil {
				t.Fatal(err)
			}
			if names := segmentFiles(t, o); len(names) > 0 {
				t.Errorf("an empty queue has left %q", names)
			}
		})
	}
}

// A given batch may be changed by its driver, and is given again as it was left.
func TestGivenBatchIsTheDrivers(t *testing.T) {
	o := testOptions(t)
	o.Reliable = false
	q := open(t, o)
	q.Append(batch(false, numbers(0, 5)...))
	b := q.Next(1)[0]
	b.Data = b.Data[:0]
	q.Rewind()
	if b := q.Next(1)[0]; len(b.Data) != 0 {
		t.Errorf("the batch has %q again", b.Data)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	check(t, "after reopen", rest(open(t, o)), numbers(0, 5))
}

func TestMemoryFirstWritesNothing(t *testing.T) {
	o := testOptions(t)
	o.Reliable = false
	q := open(t, o)
	for i := range 10 {
		q.Append(batch(false, numbers(i, i+1)...))
		q.Ack(len(q.Next(1)))
	}
	if names := segmentFiles(t, o); len(names) > 0 {
		t.Errorf("it has written %q", names)
	}
}

func TestKeys(t *testing.T) {
	q := open(t, testOptions(t))
	for _, key := range []string{"a", "a", "b", ""} {
		b := batch(false, "x")
		b.Key = key
		q.Append(b)
	}
	q.crash()
	q = open(t, &Options{Dir: q.options.Dir, Reliable: true, Capacity: MinCapacity, FrontCacheSize: 10})
	var got []string
	for _, b := range q.Next(100) {
		got = append(got, b.Key+string(b.Data))
	}
	check(t, "keys", got, []string{"axx", "bx", "x"})
}

// Segments go when they are acknowledged, and the disk is all but empty when the queue is.
func TestShrinks(t *testing.T) {
	o := testOptions(t)
	o.FrontCacheSize = 100
	o.Capacity = 1 << 20
	q := open(t, o)
	text := strings.Repeat("x", 1000)
	for range 900 {
		if q.Append(batch(false, text)) != 0 {
			t.Fatal("dropped")
		}
	}
	files := len(segmentFiles(t, o))
	if files < 7 {
		t.Fatalf("%d segments, want at least 7", files)
	}
	for acked := 0; acked < 900; {
		batches := q.Next(1)
		acked += len(texts(batches))
		q.Ack(len(batches))
		onDisk := int64(0)
		for _, name := range segmentFiles(t, o) {
			info, err := os.Stat(name)
			if err != nil {
				t.Fatal(err)
			}
			onDisk += info.Size()
		}
		if onDisk != q.Used() {
			t.Fatalf("%d bytes on disk, %d are counted", onDisk, q.Used())
		}
		if limit := int64(900-acked)*1100 + 2*o.segmentSize(); onDisk > limit {
			t.Fatalf("%d bytes on disk after %d messages, want at most %d", onDisk, acked, limit)
		}
	}
	if got, limit := q.Used(), o.segmentSize()/8; got > limit {
		t.Errorf("%d bytes when empty, want at most %d", got, limit)
	}
}

func TestFull(t *testing.T) {
	text := strings.Repeat("x", 1000)
	fill := func(t *testing.T, policy string, reliable bool) (q *Disk, taken, dropped int) {
		o := testOptions(t)
		o.WhenFull, o.Reliable, o.FrontCacheSize = policy, reliable, 10
		o.Capacity = 100 << 10
		q = open(t, o)
		for range 200 {
			taken++
			if n := q.Append(batch(false, text)); n > 0 {
				dropped += n
				if policy == "drop_newest" {
					break
				}
			}
			if q.Used() > int64(o.Capacity) {
				t.Fatalf("%d bytes on disk, more than capacity_bytes %d", q.Used(), o.Capacity)
			}
		}
		return q, taken, dropped
	}
	for _, reliable := range []bool{true, false} {
		name := fmt.Sprintf("reliable %v", reliable)
		t.Run("drop_newest, "+name, func(t *testing.T) {
			q, taken, dropped := fill(t, "drop_newest", reliable)
			if dropped != 1 || taken < 90 {
				t.Errorf("%d dropped after %d, want 1 after more than 90", dropped, taken)
			}
			if got := len(rest(q)); got != taken-dropped {
				t.Errorf("%d messages, want %d", got, taken-dropped)
			}
		})
		t.Run("drop_oldest, "+name, func(t *testing.T) {
			q, taken, dropped := fill(t, "drop_oldest", reliable)
			if got := len(rest(q)); got != taken-dropped || got < 70 {
				t.Errorf("%d messages, want %d, 70 at least", got, taken-dropped)
			}
		})
		t.Run("flow control, "+name, func(t *testing.T) {
			q, _, dropped := fill(t, "drop_newest", reliable)
			taken := make(chan int)
			go func() {
				b := batch(false, text+"last")
				b.Wait = true
				taken <- q.Append(b)
			}()
			select {
			case <-taken:
				t.Fatal("a batch was taken by a full queue")
			case <-time.After(20 * time.Millisecond):
			}
			for done := false; !done; {
				q.Ack(len(q.Next(1 << 20)))
				select {
				case n := <-taken:
					dropped += n
					done = true
				case <-time.After(20 * time.Millisecond):
				}
			}
			if got := rest(q); dropped != 1 || len(got) == 0 || got[len(got)-1] != text+"last" {
				t.Errorf("%d dropped, want 1; what came then is %.100q", dropped, got)
			}
		})
	}
	t.Run("a batch that is larger than all", func(t *testing.T) {
		o := testOptions(t)
		o.Capacity = 1000
		q := open(t, o)
		if n := q.Append(batch(false, strings.Repeat("x", 5000))); n != 0 {
			t.Fatal("an empty queue has dropped it")
		}
		if n := q.Append(batch(false, "x")); n != 1 {
			t.Fatal("a full queue has taken one more")
		}
		if got := rest(q); len(got) != 1 || len(got[0]) != 5000 {
			t.Error("it did not come")
		}
	})
}

func TestStopEndsWaiting(t *testing.T) {
	o := testOptions(t)
	o.WhenFull, o.Capacity = "block", 1000
	q := open(t, o)
	q.Append(batch(false, strings.Repeat("x", 5000)))
	dropped := make(chan int)
	go func() { dropped <- q.Append(batch(false, "x", "y")) }()
	go func() { q.Next(1); q.Next(1); q.Stop() }()
	time.Sleep(10 * time.Millisecond)
	q.Stop()
	if n := <-dropped; n != 2 {
		t.Errorf("%d dropped, want 2", n)
	}
	if got := q.Next(1); got != nil {
		t.Errorf("a stopped queue gives %q", texts(got))
	}
}

// Many append at once, one sends and begins anew now and then: nothing is lost, and the order of each is kept.
func TestConcurrent(t *testing.T) {
	for _, reliable := range []bool{true, false} {
		t.Run(fmt.Sprintf("reliable %v", reliable), func(t *testing.T) {
			o := testOptions(t)
			o.Reliable, o.FrontCacheSize, o.WhenFull = reliable, 50, "block"
			o.Capacity = 200 << 10
			q := open(t, o)
			const writers, each = 8, 2000
			var group sync.WaitGroup
			for w := range writers {
				group.Go(func() {
					for i := 0; i < each; {
						n := min(1+rand.IntN(40), each-i)
						b := Get(0)
						for range n {
							b.Data = fmt.Appendf(b.Data, "%d %d %s", w, i, strings.Repeat("x", i%70))
							b.Ends = append(b.Ends, len(b.Data))
							i++
						}
						if q.Append(b) != 0 {
							t.Error("dropped")
							return
						}
					}
				})
			}
			go func() { group.Wait(); q.Drain() }()
			var next [writers]int
			for {
				batches := q.Next(1 + rand.IntN(8<<10))
				if len(batches) == 0 {
					break
				}
				if rand.IntN(10) == 0 {
					q.Rewind()
					continue
				}
				for _, m := range texts(batches) {
					var w, i int
					if _, err := fmt.Sscanf(m, "%d %d", &w, &i); err != nil || i != next[w] {
						t.Fatalf("writer %d: message %d, want %d (%v)", w, i, next[w], err)
					}
					next[w]++
				}
				q.Ack(len(batches))
			}
			for w, n := range next {
				if n != each {
					t.Errorf("writer %d: %d messages, want %d", w, n, each)
				}
			}
			if got := q.Len(); got != 0 {
				t.Errorf("%d messages at the end, want 0", got)
			}
		})
	}
}

// A sync waits for more until it is time, or there is enough.
func TestGroupCommit(t *testing.T) {
	for _, test := range []struct {
		name     string
		change   func(o *Options)
		messages int
		want     time.Duration
	}{
		{"at once", func(o *Options) {}, 1, 0},
		{"milliseconds", func(o *Options) { o.SyncInterval = option.Duration(20 * time.Millisecond) }, 1, 20 * time.Millisecond},
		{"count", func(o *Options) { o.SyncInterval, o.SyncMessages = option.Duration(time.Hour), 10 }, 10, 0},
		{"bytes", func(o *Options) { o.SyncInterval, o.SyncBytes = option.Duration(time.Hour), 550 }, 10, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := testOptions(t)
			test.change(o)
			synctest.Test(t, func(t *testing.T) {
				q := open(t, o)
				begin := time.Now()
				var group sync.WaitGroup
				for i := range test.messages {
					group.Go(func() { q.Append(batch(false, numbers(i, i+1)...)) })
				}
				group.Wait()
				if got := time.Since(begin); got != test.want {
					t.Errorf("it took %s, want %s", got, test.want)
				}
				if err := q.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// The position is saved a second after an acknowledgement, though nothing else happens.
func TestPositionIsSaved(t *testing.T) {
	o := testOptions(t)
	synctest.Test(t, func(t *testing.T) {
		q := open(t, o)
		q.Append(batch(false, numbers(0, 3)...))
		q.Ack(len(q.Next(1)))
		time.Sleep(2 * positionAge)
		synctest.Wait()
		q.crash()
	})
	if got, err := readPosition(Path(o.Dir, "d")); got != 3 || err != nil {
		t.Errorf("position %d, %v, want 3", got, err)
	}
}

// A damaged position sends again, and says so.
func TestDamagedPosition(t *testing.T) {
	o := testOptions(t)
	q := open(t, o)
	q.Append(batch(false, numbers(0, 3)...))
	q.Append(batch(false, numbers(3, 6)...))
	q.Next(1)
	q.Ack(1)
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(Path(o.Dir, "d"), positionFile)
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		for _, b := range [][]byte{whole[:i], flip(whole, i)} {
			if err := os.WriteFile(name, b, 0o600); err != nil {
				t.Fatal(err)
			}
			q := open(t, o)
			check(t, "next", texts(q.Next(1<<20)), numbers(0, 6))
			q.crash()
		}
	}
}

func flip(b []byte, i int) []byte {
	b = slices.Clone(b)
	b[i] ^= 0x10
	return b
}

// A small segment is cut and flipped at each of its bytes: nothing is lost but the batch that is hit.
func TestDamage(t *testing.T) {
	const batches, size = 4, 3
	o := testOptions(t)
	q := open(t, o)
	var ends []int64
	for i := range batches {
		q.Append(batch(false, numbers(size*i, size*i+size)...))
		ends = append(ends, q.Used())
	}
	q.crash()
	name := segmentFiles(t, o)[0]
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	run := func(what string, b []byte, want []string) {
		t.Helper()
		dir := Path(o.Dir, "d")
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		q := open(t, o)
		q.Append(batch(false, "after"))
		check(t, what, rest(q), append(want, "after"))
		kept := 0
		names, _ := filepath.Glob(filepath.Join(dir, quarantineDir, "*"))
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			kept += len(b)
		}
		if isFlip := len(b) == len(whole); isFlip != (kept > 0) {
			t.Fatalf("%s: %d bytes in quarantine", what, kept)
		}
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
	}
	whole = whole[:len(whole):len(whole)]
	for at := range whole {
		hit := slices.IndexFunc(ends, func(end int64) bool { return int64(at) < end })
		if at >= int(headerSizeOf("d")) {
			run(fmt.Sprintf("cut at %d", at), whole[:at], numbers(0, size*hit))
			want := append(numbers(0, size*hit), numbers(size*hit+size, size*batches)...)
			run(fmt.Sprintf("flip at %d", at), flip(whole, at), want)
		} else {
			run(fmt.Sprintf("flip at %d", at), flip(whole, at), numbers(0, size*batches))
		}
	}
	zeros := append(slices.Clone(whole), make([]byte, 5000)...)
	copy(zeros[len(whole):], "\xd8kad")
	run("tail of zeros", append(whole[:ends[2]:ends[2]], make([]byte, 100)...), numbers(0, size*3))
}

func headerSizeOf(name string) int64 { return fixedHeader + int64(len(name)) }

// What is damaged in the middle of many segments is counted to the message.
func TestLostIsCounted(t *testing.T) {
	o := testOptions(t)
	o.Capacity = 100 << 10
	o.FrontCacheSize = 1
	q := open(t, o)
	for i := 0; i < 1000; i += 5 {
		q.Append(batch(false, numbers(i, i+5)...))
	}
	q.crash()
	names := segmentFiles(t, o)
	if len(names) < 2 {
		t.Fatalf("%d segments, want more", len(names))
	}
	b, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{1000, 1001, 5000, len(b) - 1} {
		b[at] ^= 1
	}
	if err := os.WriteFile(names[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	q = open(t, o)
	got := rest(q)
	if len(got)+q.Lost() != 1000 || q.Lost() != 15 {
		t.Errorf("%d messages came and %d are counted as lost, want 985 and 15", len(got), q.Lost())
	}
}

// What is read without the lock: the queue while it works, its damage, and what was set aside, which can be appended again.
func TestInspectAndRequeue(t *testing.T) {
	o := testOptions(t)
	q := open(t, o)
	for i := 0; i < 12; i += 3 {
		q.Append(batch(false, numbers(i, i+3)...))
	}
	q.Next(1)
	q.Ack(1)
	q.save()
	inspectNow := func() (status Status, waiting, sent []string) {
		t.Helper()
		directories, err := List(o.Dir)
		if err != nil || len(directories) != 1 {
			t.Fatal(directories, err)
		}
		status, err = Inspect(directories[0], func(m Message) error {
			if m.Acknowledged {
				sent = append(sent, string(m.Data))
			} else {
				waiting = append(waiting, string(m.Data))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return status, waiting, sent
	}
	s, waiting, sent := inspectNow()
	check(t, "waiting", waiting, numbers(3, 12))
	check(t, "sent", sent, numbers(0, 3))
	if s.Name != "d" || s.Messages != 9 || s.Segments != 1 || s.Bytes != q.Used() || len(s.Damage) != 0 {
		t.Errorf("status %+v", s)
	}
	if _, _, err := Requeue(o.Dir, "d", silent); err == nil || !strings.Contains(err.Error(), "is in use by another process") {
		t.Errorf("requeue while it works: %v", err)
	}
	q.crash()
	name := segmentFiles(t, o)[0]
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(b, []byte("message 7"))
	b[at] = 'M'
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	s, waiting, _ = inspectNow()
	check(t, "waiting", waiting, append(numbers(3, 6), numbers(9, 12)...))
	if len(s.Damage) != 1 || s.Damage[0].File != name || int(s.Damage[0].Offset) > at || int(s.Damage[0].Offset)+s.Damage[0].Bytes <= at {
		t.Errorf("damage %+v, want one place around %d", s.Damage, at)
	}
	q = open(t, o)
	check(t, "rest", rest(q), append(numbers(3, 6), numbers(9, 12)...))
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	if s, _, _ = inspectNow(); s.Quarantined == 0 || s.Messages != 0 {
		t.Errorf("status after damage %+v", s)
	}
	if messages, left, err := Requeue(o.Dir, "d", silent); messages != 3 || left != 0 || err != nil {
		t.Errorf("requeued %d, %d left, %v", messages, left, err)
	}
	if messages, left, err := Requeue(o.Dir, "d", silent); messages != 0 || left != 0 || err != nil {
		t.Errorf("requeued %d again, %d left, %v", messages, left, err)
	}
	_, waiting, _ = inspectNow()
	check(t, "requeued", waiting, []string{"message 6\n", "Message 7\n", "message 8\n"})
}

func TestAdopt(t *testing.T) {
	o := testOptions(t)
	for name, list := range map[string][]string{"old": numbers(5, 9), "d": numbers(0, 5)} {
		q, err := Open(name, o, silent)
		if err != nil {
			t.Fatal(err)
		}
		q.Append(batch(false, list...))
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if moved, err := Adopt(o.Dir, "old", "d", silent); moved != 4 || err != nil {
		t.Errorf("%d moved, %v", moved, err)
	}
	if directories, err := List(o.Dir); len(directories) != 1 || err != nil {
		t.Errorf("%q are left, %v", directories, err)
	}
	if _, err := Adopt(o.Dir, "old", "d", silent); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("adopt again: %v", err)
	}
	check(t, "rest", rest(open(t, o)), numbers(0, 9))
}

// A message that looks like a record is not taken for one behind damage.
func TestForgedRecord(t *testing.T) {
	o := testOptions(t)
	q := open(t, o)
	var forged []byte
	for salt := range uint32(100) {
		forged = appendRecord(forged, batch(false, "forged"), uint64(salt), salt, 0)
	}
	q.Append(batch(false, "first"))
	q.Append(batch(false, string(forged)))
	q.Append(batch(false, "last"))
	q.crash()
	name := segmentFiles(t, o)[0]
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	second := bytes.Index(b[headerSizeOf("d")+5:], []byte(recordMark)) + int(headerSizeOf("d")) + 5
	b[second] ^= 1
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	check(t, "rest", rest(open(t, o)), []string{"first", "last"})
}

// Time is for information: a clock that jumps changes nothing.
func TestClockJumps(t *testing.T) {
	o := testOptions(t)
	open(t, o).crash()
	o.name, o.dir, o.open = "d", Path(o.Dir, "d"), openFile
	s, err := createSegment(o, 7)
	if err != nil {
		t.Fatal(err)
	}
	var b []byte
	for i, now := range []int64{1 << 62, 0, -1 << 63, 1 << 40, -1} {
		b = appendRecord(b, batch(false, numbers(i, i+1)...), 7+uint64(i), s.salt, now)
	}
	if _, err := s.file.WriteAt(b, s.size); err != nil {
		t.Fatal(err)
	}
	check(t, "rest", rest(open(t, o)), numbers(0, 5))
}

func TestOpenErrors(t *testing.T) {
	o := testOptions(t)
	q := open(t, o)
	q.Append(batch(false, "x"))
	if _, err := Open("d", o, silent); err == nil || !strings.HasPrefix(err.Error(), "queue d: "+Path(o.Dir, "d")+" is in use by another process") {
		t.Errorf("a second one: %v", err)
	}
	q.crash()
	if err := os.Rename(Path(o.Dir, "d"), Path(o.Dir, "e")); err != nil {
		t.Fatal(err)
	}
	if _, err := Open("e", o, silent); err == nil || !strings.HasSuffix(err.Error(), `is of the queue "d"`) {
		t.Errorf("a queue of another name: %v", err)
	}
	name, err := filepath.Glob(filepath.Join(Path(o.Dir, "e"), "*"+segmentSuffix))
	if err != nil || len(name) != 1 {
		t.Fatal(name, err)
	}
	b, err := os.ReadFile(name[0])
	if err != nil {
		t.Fatal(err)
	}
	binary.LittleEndian.PutUint32(b[12:], 2)
	binary.LittleEndian.PutUint32(b[8:], crc32.Checksum(b[12:headerSizeOf("d")], castagnoli))
	if err := os.WriteFile(name[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open("e", o, silent); err == nil || !strings.HasSuffix(err.Error(), "version 2 of the format, want 1") {
		t.Errorf("a newer format: %v", err)
	}
}

func TestPath(t *testing.T) {
	for name, want := range map[string]string{
		"d_central": "/q/d_central", "a#2": "/q/a%232", "..": "/q/%2E.", ".": "/q/%2E", "a/../b": "/q/a%2F..%2Fb", "ä": "/q/%C3%A4",
	} {
		if got := Path("/q", name); got != want {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
	}
}

// faults are what a disk does not do.
type faults struct {
	mu                            sync.Mutex
	write, sync, create, truncate error

	short bool // a write stops in the middle
	pages map[int64]bool
}

type faultyFile struct {
	file
	*faults
}

func (d *faults) set(change func(d *faults)) {
	d.mu.Lock()
	change(d)
	d.mu.Unlock()
}

func (d *faults) open(name string, flag int) (file, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.create != nil && flag&os.O_CREATE != 0 {
		return nil, d.create
	}
	f, err := openFile(name, flag)
	if err != nil {
		return nil, err
	}
	return &faultyFile{f, d}, nil
}

func (f *faultyFile) WriteAt(p []byte, off int64) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.write == nil {
		return f.file.WriteAt(p, off)
	}
	n := 0
	if f.short {
		n, _ = f.file.WriteAt(p[:len(p)/2], off)
	}
	return n, f.write
}

func (f *faultyFile) Sync() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.faults.sync
}

func (f *faultyFile) Truncate(size int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.truncate != nil {
		return f.truncate
	}
	return f.file.Truncate(size)
}

func (f *faultyFile) ReadAt(p []byte, off int64) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for page := range f.pages {
		if off < page+pageSize && page < off+int64(len(p)) {
			return 0, syscall.EIO
		}
	}
	return f.file.ReadAt(p, off)
}

// A disk that fails costs what a reliable queue has not taken, and nothing else.
func TestFaults(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(d *faults)
	}{
		{"sync fails", func(d *faults) { d.sync = syscall.EIO }},
		{"write fails", func(d *faults) { d.write = syscall.ENOSPC }},
		{"short write", func(d *faults) { d.write, d.short = syscall.ENOSPC, true }},
		{"write and create fail", func(d *faults) { d.write, d.create = syscall.EROFS, syscall.EROFS }},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := testOptions(t)
			disk := &faults{}
			o.open = disk.open
			synctest.Test(t, func(t *testing.T) {
				q := open(t, o)
				want := numbers(0, 10)
				q.Append(batch(false, want...))
				disk.set(test.change)
				for i := range 3 {
					if n := q.Append(batch(false, numbers(100+i, 103+i)...)); n != 3 {
						t.Errorf("%d dropped, want 3", n)
					}
				}
				go func() {
					time.Sleep(5 * retryInterval / 2)
					disk.set(func(d *faults) { d.write, d.sync, d.create = nil, nil, nil })
				}()
				b := batch(false, numbers(10, 20)...)
				b.Wait = true // flow control waits until the disk works
				if n := q.Append(b); n != 0 {
					t.Errorf("%d dropped, want 0", n)
				}
				if got := q.Len(); got != 20 {
					t.Errorf("%d messages, want 20", got)
				}
				q.crash()
			})
			o.open = nil
			if n := len(segmentFiles(t, o)); n > 2 {
				t.Errorf("the attempts have left %d segments, want 2", n)
			}
			check(t, "rest", rest(open(t, o)), numbers(0, 20))
		})
	}
}

// What a failed sync and a failed truncation leave does not hide what is taken afterwards.
func TestFailedBatchStays(t *testing.T) {
	o := testOptions(t)
	disk := &faults{}
	o.open = disk.open
	q := open(t, o)
	q.Append(batch(false, numbers(0, 5)...))
	disk.set(func(d *faults) { d.sync, d.truncate = syscall.EIO, syscall.EIO })
	if n := q.Append(batch(false, "not taken")); n != 1 {
		t.Errorf("%d dropped, want 1", n)
	}
	disk.set(func(d *faults) { d.sync, d.truncate = nil, nil })
	q.Append(batch(false, numbers(5, 10)...))
	q.crash()
	got := rest(open(t, o))
	check(t, "rest", slices.DeleteFunc(got, func(m string) bool { return m == "not taken" }), numbers(0, 10))
}

// A segment that a crash has left without a record does not hide another one with the same first number.
func TestEmptySegment(t *testing.T) {
	o := testOptions(t)
	q := open(t, o)
	q.Append(batch(false, numbers(0, 5)...))
	q.crash()
	for _, salt := range []string{"00000000", "ffffffff"} {
		name := filepath.Join(Path(o.Dir, "d"), "0000000000000000-"+salt+segmentSuffix)
		if err := os.WriteFile(name, appendHeader(nil, "d", time.Now()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	check(t, "rest", rest(open(t, o)), numbers(0, 5))
}

// A queue with the memory first goes on in memory while the disk fails.
func TestFaultsMemoryFirst(t *testing.T) {
	o := testOptions(t)
	o.Reliable, o.FrontCacheSize = false, 10
	disk := &faults{write: syscall.ENOSPC}
	o.open = disk.open
	q := open(t, o)
	dropped := 0
	for i := range 15 {
		dropped += q.Append(batch(false, numbers(i, i+1)...))
	}
	if dropped != 5 {
		t.Errorf("%d dropped, want 5", dropped)
	}
	disk.set(func(d *faults) { d.write = nil })
	q.Append(batch(false, numbers(10, 11)...))
	check(t, "rest", rest(q), numbers(0, 11))
}

// Pages that cannot be read are damage; a disk that cannot be read at all is waited for.
func TestReadFaults(t *testing.T) {
	o := testOptions(t)
	disk := &faults{}
	o.open = disk.open
	o.FrontCacheSize = 1
	o.Capacity = 1 << 30
	q := open(t, o)
	text := strings.Repeat("x", 1000)
	for i := range 30 {
		q.Append(batch(false, fmt.Sprint(i, text)))
	}
	disk.set(func(d *faults) { d.pages = map[int64]bool{2 * pageSize: true} })
	got := rest(q)
	if len(got) != 30-q.Lost() || q.Lost() < 4 || q.Lost() > 6 {
		t.Errorf("%d messages, %d lost, want 4 to 6 of 30 lost", len(got), q.Lost())
	}
	synctest.Test(t, func(t *testing.T) {
		o.Dir = t.TempDir()
		disk.pages = nil
		q := open(t, o)
		q.Append(batch(false, numbers(0, 1)...))
		q.crash()
		q = open(t, o)
		disk.set(func(d *faults) { d.pages = map[int64]bool{0: true} })
		go func() {
			time.Sleep(5 * retryInterval / 2)
			disk.set(func(d *faults) { d.pages = nil })
		}()
		check(t, "rest", rest(q), numbers(0, 1))
		_ = q.Close()
	})
}

// TestSmallDisk fills a disk that is really small, and makes it read-only, in a mount namespace of a process of its own.
func TestSmallDisk(t *testing.T) {
	testneed.Root(t, "to mount a small disk")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "KAD_TEST_MOUNTED="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func onSmallDisk(dir string) error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		return err
	}
	o := &Options{Dir: dir, Reliable: true}
	if err := o.Init(); err != nil {
		return err
	}
	q, err := Open("d", o, silent)
	if err != nil {
		return err
	}
	var want []string
	text := strings.Repeat("x", 3000)
	dropped := 0
	for i := range 200 {
		m := fmt.Sprint(i, text)
		if n := q.Append(batch(false, m)); n == 0 {
			want = append(want, m)
		} else {
			dropped += n
		}
	}
	if dropped == 0 || dropped > 150 {
		return fmt.Errorf("%d of 200 dropped by a disk of 256 KiB", dropped)
	}
	q.crash()
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		return err
	}
	if _, err := Open("d", o, silent); err == nil || !errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("open on a read-only disk: %v", err)
	}
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT, ""); err != nil {
		return err
	}
	if q, err = Open("d", o, silent); err != nil {
		return err
	}
	if got := rest(q); !slices.Equal(got, want) {
		return fmt.Errorf("%d messages came, want %d", len(got), len(want))
	}
	if n := q.Append(batch(false, "again")); n != 0 {
		return errors.New("the drained disk does not take a message")
	}
	return q.Close()
}

// FuzzModel plays a queue against a slice.
func FuzzModel(f *testing.F) {
	f.Add([]byte("aaanakcanrnkxannk"), uint16(1000), true)
	f.Add([]byte("aaaaaaaaaaaannnnkxnnkkkaaasxnnnkkkk"), uint16(300), true)
	f.Add([]byte("aaaaaaaaaaaannnnkxnnkkkaaaxnnnkkkk"), uint16(300), false)
	f.Add([]byte("000333;66603333666?066;6000333?"), uint16(500), true)
	f.Fuzz(func(t *testing.T, ops []byte, size uint16, reliable bool) {
		o := testOptions(t)
		o.Reliable, o.FrontCacheSize = reliable, 1+int(size%50)
		o.Capacity = 8 * max(100, option.Size(size)) // of a segment: size
		m := &model{t: t, o: o, q: open(t, o), held: math.MaxInt}
		for _, op := range ops[:min(len(ops), 300)] {
			m.play(op)
		}
		m.q.Rewind()
		m.given, m.front, m.sent = nil, nil, m.acked
		m.q.Drain()
		for m.q.Len() > 0 {
			m.next(1000)
			m.ack(len(m.given))
		}
		if m.acked != len(m.taken) {
			t.Fatalf("%d messages came, want %d", m.acked, len(m.taken))
		}
		m.q.Hold(nil)
		if err := m.q.Close(); err != nil {
			t.Fatal(err)
		}
		if names := segmentFiles(t, o); len(names) != 0 {
			t.Fatalf("%q are left", names)
		}
	})
}

type model struct {
	t     *testing.T
	o     *Options
	q     *Disk
	taken []string
	sent  int      // of taken: what Next gave
	acked int      // of taken
	saved int      // of taken: what must not come again
	given []int    // messages of the batches
	front []*Batch // the same
	held  int      // of taken: what comes again
}

func (m *model) play(op byte) {
	switch n := int(op) % 12; n {
	case 0, 1, 2:
		var list []string
		for i := range 1 + int(op)/12 {
			list = append(list, fmt.Sprintf("%d%s", len(m.taken)+i, strings.Repeat("x", int(op)*i%100)))
		}
		if m.q.Append(batch(false, list...)) == 0 {
			m.taken = append(m.taken, list...)
		}
	case 3, 4, 5:
		if len(m.taken) > m.sent {
			m.next(1 + int(op)*10)
		}
	case 6, 7:
		m.ack(min(len(m.given), 1+int(op)/100))
	case 8:
		m.q.Rewind()
		m.given, m.front, m.sent = nil, nil, m.acked
	case 9:
		if !m.o.Reliable {
			return
		}
		if op > 128 {
			m.q.save()
			m.saved = min(m.acked, m.held)
		}
		m.q.crash()
		m.reopen()
	case 10:
		if err := m.q.Close(); err != nil {
			m.t.Fatal(err)
		}
		m.saved = min(m.acked, m.held)
		m.reopen()
	case 11:
		m.hold()
	}
}

// hold holds what is given from now on, or nothing.
func (m *model) hold() {
	if !m.o.Reliable || len(m.given) == 0 {
		m.q.Hold(nil)
		m.held = math.MaxInt
		return
	}
	m.q.Hold(m.front[0])
	m.held = m.acked
}

func (m *model) next(max int) {
	batches := m.q.Next(max)
	for _, b := range batches {
		list := texts([]*Batch{b})
		if m.sent+len(list) > len(m.taken) {
			m.t.Fatalf("%q came behind the end", list)
		}
		check(m.t, "next", list, m.taken[m.sent:m.sent+len(list)])
		m.sent += len(list)
		m.given, m.front = append(m.given, len(list)), append(m.front, b)
	}
}

func (m *model) ack(n int) {
	m.q.Ack(n)
	for _, count := range m.given[:n] {
		m.acked += count
	}
	m.given, m.front = m.given[n:], m.front[n:]
}

// reopen finds where the queue begins again.
func (m *model) reopen() {
	m.q = open(m.t, m.o)
	begin := len(m.taken) - m.q.Len()
	if end := min(m.acked, m.held); begin < m.saved || begin > end {
		m.t.Fatalf("it begins at %d, want it from %d to %d", begin, m.saved, end)
	}
	m.acked, m.sent, m.held, m.given, m.front = begin, begin, math.MaxInt, nil, nil
}

// FuzzSegment opens what is no segment: nothing but records that were written comes out.
func FuzzSegment(f *testing.F) {
	header := appendHeader(nil, "d", time.Unix(0, 0))
	whole := slices.Clone(header)
	for i := range 4 {
		whole = appendRecord(whole, batch(false, numbers(3*i, 3*i+3)...), uint64(3*i), 0, 0)
	}
	f.Add(whole, uint16(0), byte(0))
	f.Add(whole[:200], uint16(60), byte(3))
	f.Fuzz(func(t *testing.T, b []byte, at uint16, change byte) {
		if len(b) > 0 {
			b = slices.Clone(b)
			b[int(at)%len(b)] ^= change
		}
		o := testOptions(t)
		dir := Path(o.Dir, "d")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "0000000000000000-00000000.segment"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		q, err := Open("d", o, silent)
		if err != nil {
			if q != nil {
				t.Fatal("value and error")
			}
			return
		}
		q.Append(batch(false, "after"))
		if got := rest(q); len(got) == 0 || got[len(got)-1] != "after" {
			t.Errorf("%.200q came, want the last message after it", got)
		}
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

const benchMessage = 250

func benchBatch(n int) *Batch {
	b := Get(0)
	for range n {
		b.Data = append(b.Data, benchText...)
		b.Ends = append(b.Ends, len(b.Data))
	}
	return b
}

var benchText = bytes.Repeat([]byte("x"), benchMessage)

func BenchmarkAppend(b *testing.B) {
	b.Run("bare/batch=1000", func(b *testing.B) { // one write and fdatasync: what the disk can do
		f, err := os.Create(filepath.Join(b.TempDir(), "bare"))
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(1000 * benchMessage)
		for b.Loop() {
			x := benchBatch(1000)
			if _, err := f.Write(x.Data); err != nil {
				b.Fatal(err)
			}
			if err := (osFile{f}).Sync(); err != nil {
				b.Fatal(err)
			}
			Put(x)
		}
	})
	for _, n := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("batch=%d", n), func(b *testing.B) {
			o := testOptions(b)
			o.Capacity, o.FrontCacheSize = 64<<30, 1
			q := open(b, o)
			b.SetBytes(int64(n * benchMessage))
			b.ReportAllocs()
			for b.Loop() {
				if q.Append(benchBatch(n)) != 0 {
					b.Fatal("dropped")
				}
			}
			b.StopTimer()
			b.ReportMetric(float64(q.Used())/float64(b.N*n*benchMessage), "disk/payload")
			if err := q.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

func BenchmarkRead(b *testing.B) {
	for _, n := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("batch=%d", n), func(b *testing.B) {
			o := testOptions(b)
			o.Capacity, o.FrontCacheSize, o.Reliable = 64<<30, 1, false
			q := open(b, o)
			const total = 200_000
			for range total / n {
				q.Append(benchBatch(n))
			}
			q.mu.Lock()
			if err := q.spill(); err != nil {
				b.Fatal(err)
			}
			q.mu.Unlock()

			b.SetBytes(total * benchMessage)
			b.ReportAllocs()
			for b.Loop() {
				q.mu.Lock()
				q.front, q.given, q.read = nil, 0, place{q.segments[0], q.segments[0].start, 0}
				q.mu.Unlock()
				messages := 0
				for messages < total {
					batches := q.Next(256 << 10)
					for _, x := range batches {
						messages += len(x.Ends)
					}
					q.given = 0
					for _, e := range q.front[:len(batches)] {
						Put(e.Batch)
					}
					q.front = q.front[len(batches):]
				}
			}

		})
	}
}
