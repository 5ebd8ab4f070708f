package destination

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"kad/forwarder/internal/jetstream/natstest"
)

// BenchmarkNATS publishes messages of 250 bytes to a server, which shares the machine.
func BenchmarkNATS(b *testing.B) {
	for _, batch := range []int{1, 250} {
		b.Run(fmt.Sprintf("batches of %d", batch), func(b *testing.B) {
			server := natstest.Start(b, "")
			server.Stream(natstest.Config{})
			n := natsDriver(server.URL)
			n.BatchMessages = batch
			if err := n.Init(); err != nil {
				b.Fatal(err)
			}
			d := New("d", n)
			ctx, cancel := context.WithCancel(b.Context())
			done := make(chan error, 1)
			go func() { done <- d.Run(ctx, slog.New(slog.DiscardHandler)) }()
			message := natsMessage(strings.Repeat("x", 190))
			batches := d.NewBatch()
			b.SetBytes(250)
			b.ReportAllocs()
			for i := range b.N {
				batches.Add(message, true)
				if i%250 == 249 {
					batches.Flush(nil)
				}
			}
			batches.Flush(nil)
			for sent := uint64(0); sent < uint64(b.N); _, _, sent, _ = d.Counts() {
				time.Sleep(time.Millisecond)
			}
			b.StopTimer()
			cancel()
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		})
	}
}
