package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"kad/forwarder/internal/stats"
	"kad/pkg/cli"
)

// watchInterval is between two looks of --watch.
const watchInterval = time.Second

// status tells what a forwarder that runs is doing.
func status(c *cli.Context) error {
	if !c.Bool("watch") {
		text, _, err := look(c, nil)
		if err == nil {
			_, err = fmt.Fprint(c.App.Writer, text)
		}
		return err
	}
	screen := cli.NewScreen(c.App.Writer)
	var before *stats.Snapshot
	for {
		text, now, err := look(c, before)
		if c.Context.Err() != nil {
			return nil
		}
		if err != nil { // it may come back
			text = fmt.Sprintf("%s: %v\n", c.App.Name, err)
		}
		if err := screen.Show(text); err != nil {
			return err
		}
		before = now
		select {
		case <-time.After(watchInterval):
		case <-c.Context.Done():
			return nil
		}
	}
}

// look asks once. Rates are those since the snapshot before, if there is one.
func look(c *cli.Context, before *stats.Snapshot) (text string, now *stats.Snapshot, err error) {
	body, err := request(c, "GET", "/v1/status")
	if err != nil {
		return "", nil, err
	}
	format := c.String("output")
	if format == "json" {
		return string(body), nil, nil
	}
	now = &stats.Snapshot{}
	if err := json.Unmarshal(body, now); err != nil {
		return "", nil, err
	}
	return newView(now, before, format == "wide").String(), now, nil
}

// A view is a snapshot for eyes. All of it fits 80 columns, unless it is wide.
type view struct {
	*stats.Snapshot
	wide    bool
	rates   bool
	seconds float64           // since the snapshot before
	earlier map[string]uint64 // its counters, by what they count
}

func newView(s, before *stats.Snapshot, wide bool) *view {
	v := &view{Snapshot: s, wide: wide, earlier: map[string]uint64{}}
	if before == nil || !before.Time.Before(s.Time) {
		return v
	}
	v.rates, v.seconds = true, s.Time.Sub(before.Time).Seconds()
	for _, source := range before.Sources {
		v.earlier["source "+source.Name+strconv.Itoa(source.Index)] = source.Received
	}
	for _, p := range before.Paths {
		v.earlier["log "+p.Name] = p.Matched
	}
	for _, d := range before.Destinations {
		v.earlier["destination "+d.Name] = d.Sent
	}
	return v
}

func (v *view) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "forwarder %s, up %s, configuration of %s\n", v.Version, age(v.Time.Sub(v.Started)),
		v.Configuration.Loaded.Local().Format(time.DateTime))
	if e := v.Configuration.Error; e != "" {
		first, _, _ := strings.Cut(e, "\n")
		fmt.Fprintln(&b, v.clip("the last reload failed: "+first, screenWidth))
	}
	for _, t := range []*table{v.sources(), v.paths(), v.destinations()} {
		b.WriteByte('\n')
		t.write(&b, v.width())
	}
	return b.String()
}

func (v *view) width() int {
	if v.wide {
		return 0
	}
	return screenWidth
}

func (v *view) clip(text string, width int) string {
	if v.wide {
		width = 0
	}
	return clip(text, width)
}

func (v *view) count(n uint64) string {
	if v.wide {
		return strconv.FormatUint(n, 10)
	}
	return short(n)
}

// rate is how many there were in a second since the snapshot before.
func (v *view) rate(what string, n uint64) string {
	earlier, known := v.earlier[what]
	if !known || n < earlier {
		return "-"
	}
	return v.count(uint64(float64(n-earlier)/v.seconds + .5))
}

// rateHead is the column of rates.
const rateHead = " /S"

// withRates takes out the column of rates if there are none.
func (v *view) withRates(t *table) *table {
	i := slices.Index(t.heads, rateHead)
	if v.rates || i < 0 {
		return t
	}
	t.heads = slices.Delete(t.heads, i, i+1)
	for r := range t.rows {
		t.rows[r].cells = slices.Delete(t.rows[r].cells, i, i+1)
	}
	return t
}

func (v *view) sources() *table {
	t := &table{heads: []string{"SOURCE", "DRIVER", " RECEIVED", rateHead, " CONNECTIONS", "BLOCKED BY"}}
	for _, s := range v.Sources {
		t.add(append(v.stream(s.Stream), v.troubles(&s)...), v.clip(s.Name, 18), s.Driver, v.count(s.Received), v.rate("source "+s.Name+strconv.Itoa(s.Index), s.Received),
			strconv.Itoa(s.Connections), v.clip(strings.Join(s.BlockedBy, ", "), 17))
	}
	return v.withRates(t)
}

// troubles are what went wrong at a source.
func (v *view) troubles(s *stats.Source) (notes []string) {
	text := v.reasons(map[string]uint64{
		"dropped by the kernel": s.KernelDrops, "truncated": s.Truncated, "not parsed": s.ParseErrors, "broken frames": s.FrameErrors,
		"failed handshakes": s.TLSErrors, "refused connections": s.Refused,
	})
	if text != "" {
		notes = append(notes, text)
	}
	return notes
}

func (v *view) paths() *table {
	t := &table{heads: []string{"LOG PATH", " MATCHED", rateHead}}
	for _, p := range v.Paths {
		t.add(nil, v.clip(p.Name, 60), v.count(p.Matched), v.rate("log "+p.Name, p.Matched))
	}
	return v.withRates(t)
}

func (v *view) destinations() *table {
	heads := []string{"DESTINATION", "STATE", " SENT", rateHead, " QUEUED", " BYTES", " OLDEST", " DROPPED"}
	if v.wide {
		heads = append(heads, "DRIVER", " ROUTED", " RESENT", " BLOCKED")
	}
	t := &table{heads: heads}
	for i := range v.Destinations {
		d := &v.Destinations[i]
		oldest := "-"
		if !d.Oldest.IsZero() {
			oldest = age(v.Time.Sub(d.Oldest))
		}
		bytes := size(d.Bytes)
		if v.wide {
			bytes = strconv.FormatInt(d.Bytes, 10)
		}
		cells := []string{v.clip(d.Name, 18), string(d.State), v.count(d.Sent), v.rate("destination "+d.Name, d.Sent),
			v.count(uint64(d.Queued)), bytes, oldest, v.count(total(d.Dropped))}
		if v.wide {
			cells = append(cells, d.Driver, v.count(d.Routed), v.count(total(d.Resent)), fmt.Sprintf("%.1fs", d.Blocked))
		}
		t.add(v.notes(d), cells...)
	}
	return v.withRates(t)
}

// notes are what there is to say of a destination besides its numbers.
func (v *view) notes(d *stats.Destination) (notes []string) {
	if s := d.Server; s != nil {
		notes = append(notes, v.server(s))
		if s.ProbeError != "" {
			notes = append(notes, "last probe of "+s.Servers[0]+": "+s.ProbeError)
		}
	}
	notes = append(notes, v.stream(d.Stream)...)
	if d.Error != "" && (d.State == stats.Failing || d.State == stats.Disconnected) {
		notes = append(notes, "error: "+d.Error)
	}
	for _, counts := range []struct {
		word string
		of   map[string]uint64
	}{{"dropped", d.Dropped}, {"resent", d.Resent}} {
		if text := v.reasons(counts.of); text != "" {
			notes = append(notes, counts.word+": "+text)
		}
	}
	if len(d.Blocks) > 0 {
		notes = append(notes, "blocks "+strings.Join(d.Blocks, ", "))
	}
	return notes
}

// server tells which server is in use.
func (v *view) server(s *stats.Server) string {
	text := "server " + s.Current
	if s.Address != "" {
		text += " at " + s.Address + " for " + age(v.Time.Sub(s.Since))
	}
	if s.IsPinned {
		text += ", pinned"
	}
	if s.Switches > 0 {
		text += ", " + plural(s.Switches, "switch", "switches")
	}
	if s.GoodProbes > 0 {
		text += ", " + plural(uint64(s.GoodProbes), "good probe", "good probes") + " of " + s.Servers[0]
	}
	return text
}

// stream tells who leads a stream, who follows, and what is on its way.
func (v *view) stream(s *stats.Stream) (notes []string) {
	if s == nil {
		return nil
	}
	where := "stream " + s.Name
	if s.Server != "" {
		where += " at " + s.Server
	}
	notes = append(notes, where)
	if s.Cluster != "" {
		cluster := "cluster " + s.Cluster + ", leader " + cmp.Or(s.Leader, "none")
		for _, r := range s.Replicas {
			cluster += ", " + r.Name
			if !r.IsCurrent {
				cluster += " behind"
			}
			if r.Lag > 0 {
				cluster += " by " + v.count(r.Lag)
			}
		}
		if s.LeaderChanges > 0 {
			cluster += ", " + plural(s.LeaderChanges, "leader change", "leader changes")
		}
		notes = append(notes, cluster)
	}
	counts := fmt.Sprintf("%s in flight, ack lag %.3fs, %s pending", v.count(s.InFlight), s.Lag, v.count(s.Pending))
	if s.Messages > 0 { // of Kafka it is not known
		counts += ", " + v.count(s.Messages) + " in the stream"
	}
	notes = append(notes, counts)
	if text := v.reasons(map[string]uint64{"known duplicates": s.Duplicates, "cut": s.Cut}); text != "" {
		notes = append(notes, text)
	}
	if s.Error != "" {
		notes = append(notes, "error: "+s.Error)
	}
	return notes
}

// reasons are the counts that are not zero: "12 queue_full, 3 expired".
func (v *view) reasons(counts map[string]uint64) string {
	var list []string
	for _, reason := range slices.Sorted(maps.Keys(counts)) {
		if n := counts[reason]; n > 0 {
			list = append(list, v.count(n)+" "+reason)
		}
	}
	return strings.Join(list, ", ")
}

func plural(n uint64, one, many string) string {
	if n != 1 {
		one = many
	}
	return strconv.FormatUint(n, 10) + " " + one
}

func total(counts map[string]uint64) (n uint64) {
	for _, c := range counts {
		n += c
	}
	return n
}
