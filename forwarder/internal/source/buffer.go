package source

import (
	"io"
	"math/bits"
	"sync"
	"sync/atomic"
)

// How much is read at once: from the least size on, as much as it takes until nothing is left waiting, up to the greatest, which makes for
// larger batches. While all together have more than readBudget, they get the least, and none gets more. Files are read by readSize.
const (
	leastRead, readSize, mostRead = 16 << 10, 64 << 10, 256 << 10

	readBudget = 16 << 20
	sendBudget = 4 << 20 // of what is made of one read, for all destinations
)

// A buffer has what was read of a stream and is not used yet. It has memory for reading only while it has something in it, so that
// connections that wait cost nothing.
type buffer struct {
	needed int // bytes at most that a message has with its framing
	copies int // of each message, for so many destinations; 0: that is not known

	memory     *memory // nil: what is not used is in tail
	begin, end int     // of what is not used, in memory
	tail       []byte
	size       int // of the last memory; 0: there was none
}

// maxTail is how much of a message is kept without memory for reading.
const maxTail = 1 << 10

// A filler is a stream that waits without memory.
type filler interface {
	fill(b *buffer) (n int, err error)
}

// fill reads once.
func (b *buffer) fill(from io.Reader) (n int, err error) {
	if f, ok := from.(filler); ok {
		return f.fill(b)
	}
	n, err = from.Read(b.room())
	b.end += n
	return n, err
}

// bytes are what is not used.
func (b *buffer) bytes() []byte {
	if b.memory == nil {
		return b.tail
	}
	return b.memory.bytes[b.begin:b.end]
}

// use says that the first n bytes are not needed any more.
func (b *buffer) use(n int) {
	if b.memory == nil {
		b.tail = b.tail[n:]
	} else {
		b.begin += n
	}
}

// room is where to read to, behind what is not used.
func (b *buffer) room() []byte {
	rest := b.bytes()
	if size := b.wanted(len(rest)); b.memory == nil || size != len(b.memory.bytes) {
		m := takeMemory(size)
		n := copy(m.bytes, rest)
		b.give()
		b.memory, b.begin, b.end, b.size = m, 0, n, size
	} else if begin := b.begin; begin > 0 && (len(rest) == 0 || size-b.end < size/2) {
		b.begin, b.end = 0, copy(b.memory.bytes, rest)
	}
	return b.memory.bytes[b.end:]
}

// wanted is how large the memory has to be for the next read, if so much is not used.
func (b *buffer) wanted(rest int) int {
	crowded := memoryInUse.Load() > readBudget
	if b.memory == nil {
		size := max(leastRead, min(b.size, b.most()))
		if crowded {
			size = leastRead
		}
		return size
	}
	size := len(b.memory.bytes)
	switch {
	case rest == size && size >= mostRead: // of a message that long few have come
		return b.needed
	case rest == size:
		return min(2*size, max(b.needed, mostRead))
	case size > mostRead && rest < mostRead/2:
		return mostRead
	case b.end == size && size < b.most() && !crowded: // it was filled
		return 2 * size
	}
	return size
}

// most is how much is read at once at most: what is made of it for many destinations is to stay in the processor's cache.
func (b *buffer) most() int {
	size := mostRead
	for size > readSize && size*b.copies > sendBudget {
		size /= 2
	}
	return size
}

// rest gives the memory back until there is something to read.
func (b *buffer) rest() {
	if rest := b.bytes(); b.memory != nil && len(rest) <= maxTail {
		b.tail = append(b.tail[:0], rest...)
		b.give()
	}
}

func (b *buffer) give() {
	if b.memory != nil {
		b.memory.give()
		b.memory = nil
	}
}

// A memory is for reading.
type memory struct{ bytes []byte }

var (
	memoryInUse atomic.Int64 // bytes
	memories    [5]sync.Pool // by class, from leastRead to mostRead
)

// class is the index in memories of those of a size, -1 if there is none.
func class(size int) int {
	i := bits.Len(uint(size/leastRead)) - 1
	if i < 0 || i >= len(memories) || size != leastRead<<i {
		return -1
	}
	return i
}

func takeMemory(size int) *memory {
	memoryInUse.Add(int64(size))
	if i := class(size); i >= 0 {
		if m, ok := memories[i].Get().(*memory); ok {
			return m
		}
	}
	return &memory{make([]byte, size)}
}

func (m *memory) give() {
	memoryInUse.Add(-int64(len(m.bytes)))
	if i := class(len(m.bytes)); i >= 0 {
		memories[i].Put(m)
	}
}
