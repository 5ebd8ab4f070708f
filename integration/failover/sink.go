package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// sink writes what each connection brings to a file of its own, path and a number: when it got the first bytes, in
// nanoseconds, and then all that it gets. SIGTERM has it end its side of each connection, and read on.
func sink(address, path, behaviour string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	closing := make(chan struct{})
	go func() {
		<-term
		_ = l.Close() // nobody else closes it
		close(closing)
	}()
	fmt.Println("listening")
	for n := 0; ; n++ {
		conn, err := l.Accept()
		if err != nil {
			break
		}
		go func() {
			<-closing
			_ = conn.(*net.TCPConn).CloseWrite() // it may be gone
		}()
		go func() {
			defer conn.Close()
			if err := take(conn, fmt.Sprintf("%s-%d", path, n), behaviour); err != nil {
				fmt.Fprintln(os.Stderr, "sink:", err)
			}
		}()
	}
	select {} // until it is killed
}

// take reads a connection.
func take(conn net.Conn, path, behaviour string) error {
	var from io.Reader = conn
	if strings.Contains(behaviour, "slow") {
		from = slowReader{conn}
	}
	first := make([]byte, 64<<10)
	n, err := from.Read(first)
	if err != nil {
		return nil // a probe
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := fmt.Fprintln(file, time.Now().UnixNano()); err != nil {
		return err
	}
	from = io.MultiReader(bytes.NewReader(first[:n]), from)
	if strings.Contains(behaviour, "relp") {
		return serveRELP(conn, from, file)
	}
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		if _, err := file.Write(b[:n]); err != nil {
			return err
		}
		if err != nil {
			return nil // the peer is gone
		}
	}
}

// A slowReader reads 16 KiB each 20 ms.
type slowReader struct{ io.Reader }

func (r slowReader) Read(b []byte) (int, error) {
	time.Sleep(20 * time.Millisecond)
	return r.Reader.Read(b[:min(len(b), 16<<10)])
}

// A frame is one of RELP: a command of a client, or the answer to it.
type frame struct {
	number  int
	command string
	data    []byte
}

func readFrame(from *bufio.Reader) (f frame, err error) {
	header := func() (text string) {
		if text, err = from.ReadString(' '); err == nil {
			text = text[:len(text)-1]
		}
		return text
	}
	if f.number, _ = strconv.Atoi(header()); err != nil {
		return f, err
	}
	if f.command = header(); err != nil {
		return f, err
	}
	digits := ""
	for {
		b, err := from.ReadByte()
		if err != nil {
			return f, err
		}
		if b == '\n' { // without data
			return f, nil
		}
		if b == ' ' {
			break
		}
		digits += string(b)
	}
	size, err := strconv.Atoi(digits)
	if err != nil {
		return f, err
	}
	f.data = make([]byte, size+1)
	_, err = io.ReadFull(from, f.data)
	f.data = f.data[:size]
	return f, err
}

func appendFrame(to []byte, number int, command, data string) []byte {
	return fmt.Appendf(to, "%d %s %d %s\n", number, command, len(data), data)
}

// serveRELP answers messages when they are in the file, so many at once as have come.
func serveRELP(conn io.Writer, stream io.Reader, file io.Writer) error {
	from := bufio.NewReaderSize(stream, 64<<10)
	var text, answers []byte
	for {
		f, err := readFrame(from)
		if err != nil {
			return nil // the peer is gone
		}
		answer := "200 OK"
		switch f.command {
		case "open":
			answer += "\nrelp_version=1\nrelp_software=sink\ncommands=syslog"
		case "syslog":
			text = append(append(text, bytes.TrimSuffix(f.data, []byte("\n"))...), '\n')
		}
		answers = appendFrame(answers, f.number, "rsp", answer)
		if from.Buffered() > 0 && len(text) < 64<<10 {
			continue
		}
		if _, err := file.Write(text); err != nil {
			return err
		}
		if _, err := conn.Write(answers); err != nil {
			return nil // the peer is gone
		}
		text, answers = text[:0], answers[:0]
	}
}
