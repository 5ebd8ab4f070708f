package main

import (
	"bytes"
	"fmt"
	"net"
	"sync"
)

// relay is the least that a forwarder of lines can do in Go: it takes messages on a port of a network, and copies them line by
// line into a buffer that it writes to a single connection. It does not return without an error.
func relay(network, from, to string) error {
	out, err := net.Dial("tcp", "127.0.0.1:"+to)
	if err != nil {
		return err
	}
	if network == "udp" {
		return relayUDP("127.0.0.1:"+from, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:"+from)
	if err != nil {
		return err
	}
	var mu sync.Mutex // one connection's lines at a time
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			relayLines(conn, func(lines []byte) error {
				mu.Lock()
				defer mu.Unlock()
				_, err := out.Write(lines)
				return err
			})
		}()
	}
}

func relayLines(conn net.Conn, write func([]byte) error) {
	in, out := make([]byte, 64<<10), make([]byte, 0, 64<<10)
	end := 0
	for {
		n, err := conn.Read(in[end:])
		end += n
		begin := 0
		for out = out[:0]; ; {
			i := bytes.IndexByte(in[begin:end], '\n')
			if i < 0 {
				break
			}
			out = append(out, in[begin:begin+i+1]...)
			begin += i + 1
		}
		end = copy(in, in[begin:end])
		if len(out) > 0 {
			if err := write(out); err != nil {
				fmt.Println(err)
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// relayUDP makes a line of each datagram. What comes while a write lasts is the next write.
func relayUDP(from string, out net.Conn) error {
	address, err := net.ResolveUDPAddr("udp", from)
	if err != nil {
		return err
	}
	conn, err := net.ListenUDP("udp", address)
	if err != nil {
		return err
	}
	if err := conn.SetReadBuffer(4 << 20); err != nil {
		return err
	}
	var mu sync.Mutex // guards pending
	var pending []byte
	came := make(chan struct{}, 1)
	go func() {
		var lines []byte
		for range came {
			mu.Lock()
			lines, pending = pending, lines[:0]
			mu.Unlock()
			if _, err := out.Write(lines); err != nil {
				fmt.Println(err)
				return
			}
		}
	}()
	in := make([]byte, 64<<10)
	for {
		n, _, err := conn.ReadFromUDPAddrPort(in)
		if err != nil {
			return err
		}
		mu.Lock()
		pending = append(append(pending, in[:n]...), '\n')
		mu.Unlock()
		select {
		case came <- struct{}{}:
		default:
		}
	}
}
