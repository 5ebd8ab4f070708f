package rawsocket

import (
	"bytes"
	"errors"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// pair is two connected sockets of a stream, whose calls would wait.
func pair(t testing.TB) (a, b uintptr) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = unix.Close(fds[0]) // a test may have closed it
		_ = unix.Close(fds[1])
	})
	return uintptr(fds[0]), uintptr(fds[1])
}

// FuzzSend: what is sent, in whatever pieces, is what is received, in whatever pieces.
func FuzzSend(f *testing.F) {
	f.Add([]byte("one two three"), uint8(3), uint8(5))
	f.Add([]byte{}, uint8(0), uint8(0))
	f.Add(bytes.Repeat([]byte("x"), 5000), uint8(1), uint8(255))
	f.Fuzz(func(t *testing.T, data []byte, piece, read uint8) {
		data = data[:min(len(data), 16<<10)] // fits into the socket
		var list [][]byte
		for rest := data; len(rest) > 0; {
			n := min(int(piece), len(rest))
			list = append(list, rest[:n])
			if rest = rest[n:]; n == 0 {
				list = append(list, rest)
				break
			}
		}
		a, b := pair(t)
		var got []byte
		room := make([]byte, int(read)+1)
		for len(list) > 0 {
			n, err := Send(a, list)
			if err != nil && !errors.Is(err, syscall.EAGAIN) {
				t.Fatal(err)
			}
			for n > 0 || len(list) > 0 && len(list[0]) == 0 {
				k := min(n, len(list[0]))
				if n, list[0] = n-k, list[0][k:]; len(list[0]) == 0 {
					list = list[1:]
				}
			}
			for err = nil; err == nil; {
				n, err = Receive(b, room)
				got = append(got, room[:n]...)
			}
			if !errors.Is(err, syscall.EAGAIN) {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got, data) {
			t.Fatalf("got %d bytes, want the %d that were sent", len(got), len(data))
		}
	})
}

// Nothing waits, though the sockets are such that would, and ends are told.
func TestWaitsForNothing(t *testing.T) {
	a, b := pair(t)
	room := make([]byte, 1<<16)
	if n, err := Receive(b, room); n != 0 || !errors.Is(err, syscall.EAGAIN) {
		t.Errorf("reading nothing: got %d, %v, want EAGAIN", n, err)
	}
	var err error
	for err == nil {
		_, err = Send(a, [][]byte{room, nil, room})
	}
	if !errors.Is(err, syscall.EAGAIN) {
		t.Errorf("writing too much: got %v, want EAGAIN", err)
	}
	if err := unix.Close(int(a)); err != nil {
		t.Fatal(err)
	}
	for n := 1; n > 0; {
		if n, err = Receive(b, room); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Send(b, [][]byte{room}); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("writing to nobody: got %v, want EPIPE", err)
	}
}

// The kernel says the same to us as to package unix, without an allocation.
func TestTCPInfo(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	want, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		t.Fatal(err)
	}
	var got unix.TCPInfo
	if n := testing.AllocsPerRun(10, func() { err = TCPInfo(uintptr(fd), &got) }); n != 0 || err != nil || got.State != want.State || got.Rto != want.Rto || got.Snd_mss != want.Snd_mss || got.Snd_mss == 0 {
		t.Errorf("got %+v, %v with %v allocations, want %+v", got, err, n, *want)
	}
	a, _ := pair(t)
	if err := TCPInfo(a, &got); err == nil {
		t.Error("a socket of this host has it too")
	}
}

// A socket takes more buffers than one call, in order.
func TestManyBuffers(t *testing.T) {
	a, b := pair(t)
	var list [][]byte
	for i := range maxBuffers + 10 {
		list = append(list, []byte{byte(i)})
	}
	if n, err := Send(a, list); n != maxBuffers || err != nil {
		t.Fatalf("got %d, %v, want %d", n, err, maxBuffers)
	}
	room := make([]byte, 2*maxBuffers)
	n, err := Receive(b, room)
	if n != maxBuffers || err != nil || !bytes.Equal(room[:n], bytes.Join(list[:n], nil)) {
		t.Errorf("got %d, %v", n, err)
	}
}

// A read and a write allocate nothing.
func TestAllocations(t *testing.T) {
	a, b := pair(t)
	out, in := [][]byte{[]byte("one"), []byte("two")}, make([]byte, 6)
	if n := testing.AllocsPerRun(100, func() {
		if n, err := Send(a, out); n != 6 || err != nil {
			t.Fatal(n, err)
		}
		if n, err := Receive(b, in); n != 6 || err != nil {
			t.Fatal(n, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
