package dbus

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kad/pkg/dbustest"
)

func TestBus(t *testing.T) {
	address := dbustest.Bus(t)
	c, err := Dial(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const bus, path = "org.freedesktop.DBus", "/org/freedesktop/DBus"

	reply, err := c.Call(bus, path, bus, "GetNameOwner", bus)
	if err != nil || reply.Value() != bus {
		t.Errorf("GetNameOwner: %v, %v", reply, err)
	}
	reply, err = c.Call(bus, path, bus, "GetConnectionUnixProcessID", bus)
	if pid, ok := reply.Value().(uint32); err != nil || !ok || pid == 0 {
		t.Errorf("GetConnectionUnixProcessID: %v, %v", reply, err)
	}
	_, err = c.Call("org.example.None", "/", "org.example.None", "Ask")
	if e, ok := errors.AsType[*Error](err); !ok || e.Name != "org.freedesktop.DBus.Error.ServiceUnknown" ||
		!strings.Contains(e.Error(), "org.example.None") {
		t.Errorf("unknown service: %v", err)
	}
	if _, err := c.Call(bus, path, bus, "AddMatch", "type='signal',member='NameOwnerChanged'"); err != nil {
		t.Fatal(err)
	}
	other, err := Dial(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	other.Close()
	// Its reply comes after the signals that say that the other came and went.
	if _, err := c.Call(bus, path, bus, "GetId"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s, err := c.Signal()
		for err == nil && s.Member == "NameAcquired" {
			s, err = c.Signal()
		}
		if err != nil || s.Member != "NameOwnerChanged" || s.Path != path || s.Interface != bus {
			t.Fatalf("got %+v, %v", s, err)
		}
	}
}

func TestSocketOf(t *testing.T) {
	tests := []struct{ in, want string }{
		{"unix:path=/run/dbus/system_bus_socket", "/run/dbus/system_bus_socket"},
		{"unix:path=/a%20b,guid=12", "/a b"},
		{"unix:guid=12,path=/a", "/a"},
		{"tcp:host=x;unix:path=/a", "/a"},
		{"unix:abstract=/tmp/x", "@/tmp/x"},
		{"tcp:host=x", ""},
		{"unix:path=%zz", ""},
		{"", ""},
	}
	for _, tt := range tests {
		got, err := socketOf(tt.in)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%q: got %q, %v, want %q", tt.in, got, err, tt.want)
		}
	}
}

// A bus that does not behave: what it says is answered with an error, never a hang.
func TestDialBadBus(t *testing.T) {
	long := []byte{'l', 2, 0, 1, 0xff, 0xff, 0xff, 0x7f, 1, 0, 0, 0, 0, 0, 0, 0}
	tests := []struct{ name, greeting, rest, want string }{
		{"refuses", "REJECTED EXTERNAL\r\n", "", `the bus refuses us: "REJECTED EXTERNAL\r\n"`},
		{"closes", "", "", "EOF"},
		{"endless line", strings.Repeat("x", 10000), "", "bufio: buffer full"},
		{"closes after the greeting", "OK 12\r\n", "", "the bus has closed the connection"},
		{"closes in a message", "OK 12\r\n", "l\x02\x00", "the bus has closed the connection"},
		{"garbage", "OK 12\r\n", "HTTP/1.0 400 Bad Request\r\n\r\n", `"HTTP/1.0 400 Bad" is no beginning of a D-Bus message`},
		{"huge", "OK 12\r\n", string(long), "a D-Bus message of 2147483647 bytes, more than 1048576"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "bus")
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				in := bufio.NewReader(conn)
				in.ReadString('\n')
				io.WriteString(conn, tt.greeting)
				if strings.HasPrefix(tt.greeting, "OK ") {
					in.ReadString('\n')
					io.WriteString(conn, tt.rest)
					io.CopyN(io.Discard, in, 100) // until the call of Hello has come
				}
			}()
			c, err := Dial(t.Context(), "unix:path="+path)
			if c != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
	if _, err := Dial(t.Context(), "unix:path=/none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// A call is read back as it was written, field by field.
func TestCallFields(t *testing.T) {
	b := appendCall(nil, 7, "org.example.Dest", "/org/example", "org.example.Iface", "Ask", []string{"one", "", "three"})
	m, err := readMessage(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if m.kind != methodCall || m.Path != "/org/example" || m.Interface != "org.example.Iface" || m.Member != "Ask" ||
		m.signature != "sss" || m.Value() != "one" {
		t.Errorf("got %+v", m)
	}
	d := decoder{b: m.body, order: binary.LittleEndian}
	for _, want := range []string{"one", "", "three"} {
		if got := d.value("s"); got != want {
			t.Errorf("argument %q, want %q", got, want)
		}
	}
	if d.err != nil || d.i != len(d.b) {
		t.Errorf("%v, %d of %d bytes read", d.err, d.i, len(d.b))
	}
}

func TestBigEndian(t *testing.T) {
	b := []byte{'B', 2, 0, 1, 0, 0, 0, 4, 0, 0, 0, 9, 0, 0, 0, 15,
		5, 1, 'u', 0, 0, 0, 0, 7, 8, 1, 'g', 0, 1, 'u', 0, 0, 0, 0, 1, 2}
	m, err := readMessage(bytes.NewReader(b))
	if err != nil || m.replySerial != 7 || m.Value() != uint32(258) {
		t.Errorf("got %+v, %v", m, err)
	}
}

func FuzzReadMessage(f *testing.F) {
	f.Add(appendCall(nil, 7, "org.example.Dest", "/org/example", "org.example.Iface", "Ask", []string{"one", "two"}))
	f.Add([]byte{'B', 2, 0, 1, 0, 0, 0, 4, 0, 0, 0, 9, 0, 0, 0, 15,
		5, 1, 'u', 0, 0, 0, 0, 7, 8, 1, 'g', 0, 1, 'v', 0, 0, 1, 'u', 0, 0, 0, 0, 1, 2})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := readMessage(bytes.NewReader(b))
		if (m == nil) == (err == nil) {
			t.Fatalf("both or neither of %+v, %v", m, err)
		}
		if m != nil {
			m.Value()
		}
	})
}
