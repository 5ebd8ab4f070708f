package source

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// FuzzBuffer: whatever is read, used and put aside, a buffer has what is not used, and room for more as long as that is not a whole
// message of the greatest size.
func FuzzBuffer(f *testing.F) {
	f.Add(uint64(1), uint32(100), []byte{1, 2, 3})
	f.Add(uint64(2), uint32(3<<20), []byte{0, 255, 255, 255, 255, 255, 255, 255, 3, 9, 1, 2, 3, 4, 5})
	f.Add(uint64(3), uint32(1<<17), []byte{255, 4, 255, 8, 255, 12, 255, 16, 255, 255, 255})
	f.Fuzz(func(t *testing.T, seed uint64, needed uint32, steps []byte) {
		random := rand.New(rand.NewPCG(seed, 0))
		b := buffer{needed: int(needed)%(4<<20) + 1}
		defer b.give()
		var want []byte
		for _, step := range steps[:min(len(steps), 100)] {
			if len(want) < b.needed {
				room := b.room()
				if len(room) == 0 {
					t.Fatalf("no room with %d of %d bytes", len(want), b.needed)
				}
				n := len(room)
				if step < 200 { // else it is filled
					n = random.IntN(min(n, 4000) + 1)
				}
				for i := range room[:n] {
					room[i] = byte(len(want) + i)
				}
				want = append(want, room[:n]...)
				b.end += n
			}
			used := random.IntN(len(want) + 1)
			if len(want) < b.needed && step%4 < 2 {
				used = len(want) * int(step%2)
			}
			b.use(used)
			want = want[used:]
			if step%8 < 4 {
				b.rest()
			}
			if !bytes.Equal(b.bytes(), want) {
				t.Fatalf("%d bytes differ from the %d that are not used", len(b.bytes()), len(want))
			}
		}
	})
}

// A connection that waits has no memory for reading, also in the middle of a message.
func TestBufferRests(t *testing.T) {
	b := buffer{needed: 1 << 16}
	before := memoryInUse.Load()
	n := copy(b.room(), "half a mess")
	b.end += n
	if got := memoryInUse.Load() - before; got != leastRead {
		t.Errorf("while it reads it has %d bytes, want %d", got, leastRead)
	}
	b.rest()
	if got := memoryInUse.Load() - before; got != 0 || string(b.bytes()) != "half a mess" {
		t.Errorf("while it waits it has %d bytes and %q", got, b.bytes())
	}
	copy(b.room(), "age")
	b.end += 3
	if got := string(b.bytes()); got != "half a message" {
		t.Errorf("then it has %q", got)
	}
	b.give()
}

// A stream of which there is always more is read in larger and larger pieces, up to what its destinations let it.
func TestBufferGrows(t *testing.T) {
	for copies, want := range map[int]int{0: mostRead, 1: mostRead, 16: mostRead, 17: mostRead / 2, 100: readSize, 1000: readSize} {
		b := buffer{needed: 1 << 16, copies: copies}
		for range 8 {
			b.end += len(b.room())
			b.use(b.end - b.begin)
		}
		if got := len(b.memory.bytes); got != want {
			t.Errorf("for %d destinations %d bytes are read, want %d", copies, got, want)
		}
		b.give()
	}
}
