package dbus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Types of messages.
const (
	methodCall = 1
	errorReply = 3
	signal     = 4
)

// Message is a reply or a signal; what it does not have is empty.
type Message struct {
	kind byte

	Path      string
	Interface string
	Member    string
	Sender    string

	errorName   string
	replySerial uint32
	signature   string // of body
	body        []byte
	order       binary.ByteOrder
}

// Codes of header fields.
const (
	fieldPath        = 1
	fieldInterface   = 2
	fieldMember      = 3
	fieldErrorName   = 4
	fieldReplySerial = 5
	fieldDestination = 6
	fieldSender      = 7
	fieldSignature   = 8
)

const (
	protocolVersion = 1

	fixedHeader = 16      // bytes up to and with the length of the header fields
	maxMessage  = 1 << 20 // bytes; the specification allows 128 MiB, systemd's are below 100 KiB
)

// appendCall appends a method call with strings as arguments:
//
//	byte 0   'l': little endian
//	byte 1   type, flags, version
//	byte 4   length of the body, serial
//	byte 12  header fields: array of (code, variant)
//	         padding to 8, the body
func appendCall(b []byte, serial uint32, destination, path, iface, member string, args []string) []byte {
	var body []byte
	var signature []byte
	for _, a := range args {
		body = appendString(body, a)
		signature = append(signature, 's')
	}
	var fields []byte
	fields = appendField(fields, fieldPath, 'o', path)
	fields = appendField(fields, fieldDestination, 's', destination)
	fields = appendField(fields, fieldInterface, 's', iface)
	fields = appendField(fields, fieldMember, 's', member)
	if len(args) > 0 {
		fields = append(pad(fields, 8), fieldSignature, 1, 'g', 0, byte(len(signature)))
		fields = append(append(fields, signature...), 0)
	}
	b = append(b, 'l', methodCall, 0, protocolVersion)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(body)))
	b = binary.LittleEndian.AppendUint32(b, serial)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(fields)))
	b = append(b, pad(fields, 8)...)
	return append(b, body...)
}

// appendField appends a header field to fields, which begin at a multiple of 8.
func appendField(fields []byte, code, kind byte, value string) []byte {
	fields = append(pad(fields, 8), code, 1, kind, 0)
	return appendString(fields, value)
}

func appendString(b []byte, s string) []byte {
	b = pad(b, 4)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(s)))
	return append(append(b, s...), 0)
}

// pad appends zeros until the length is a multiple of n.
func pad(b []byte, n int) []byte {
	for len(b)%n != 0 {
		b = append(b, 0)
	}
	return b
}

// readMessage reads the next message.
func readMessage(r io.Reader) (*Message, error) {
	head := make([]byte, fixedHeader)
	if err := readFull(r, head); err != nil {
		return nil, err
	}
	var order binary.ByteOrder = binary.LittleEndian
	switch {
	case head[0] == 'B':
		order = binary.BigEndian
	case head[0] != 'l':
		return nil, fmt.Errorf("%q is no beginning of a D-Bus message", head)
	}
	bodyLen, fieldsLen := int64(order.Uint32(head[4:])), int64(order.Uint32(head[12:]))
	padded := (fieldsLen + 7) &^ 7
	if padded+bodyLen > maxMessage {
		return nil, fmt.Errorf("a D-Bus message of %d bytes, more than %d", padded+bodyLen, maxMessage)
	}
	rest := make([]byte, padded+bodyLen)
	if err := readFull(r, rest); err != nil {
		return nil, err
	}
	m := &Message{kind: head[1], body: rest[padded:], order: order}
	if err := m.parseFields(rest[:fieldsLen]); err != nil {
		return nil, err
	}
	return m, nil
}

func readFull(r io.Reader, b []byte) error {
	_, err := io.ReadFull(r, b)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return errors.New("the bus has closed the connection")
	}
	return err
}

func (m *Message) parseFields(fields []byte) error {
	d := decoder{b: fields, order: m.order}
	for d.err == nil && d.i < len(d.b) {
		d.align(8)
		code := d.byte()
		value := d.variant()
		text, _ := value.(string)
		switch code {
		case fieldPath:
			m.Path = text
		case fieldInterface:
			m.Interface = text
		case fieldMember:
			m.Member = text
		case fieldErrorName:
			m.errorName = text
		case fieldReplySerial:
			m.replySerial, _ = value.(uint32)
		case fieldSender:
			m.Sender = text
		case fieldSignature:
			m.signature = text
		}
	}
	return d.err
}

// Value returns the first value of the body, or what is in it when that is a variant: a string
// (for a string, an object path or a signature) or a uint32; nil when it is something else.
func (m *Message) Value() any {
	d := decoder{b: m.body, order: m.order}
	var value any
	if first := m.signature[:min(1, len(m.signature))]; first == "v" {
		value = d.variant()
	} else {
		value = d.value(first)
	}
	if d.err != nil {
		return nil
	}
	return value
}

// decoder reads marshaled values from b; the first error stays in err.
type decoder struct {
	b     []byte
	i     int
	order binary.ByteOrder
	err   error
}

var errShort = errors.New("a value of a D-Bus message is cut short")

// take returns the next n bytes.
func (d *decoder) take(n int) []byte {
	if d.err != nil || n < 0 || n > len(d.b)-d.i {
		d.err = errShort
		return nil
	}
	d.i += n
	return d.b[d.i-n : d.i]
}

func (d *decoder) align(n int) { d.take((n - d.i%n) % n) }

func (d *decoder) byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) uint32() uint32 {
	d.align(4)
	if b := d.take(4); b != nil {
		return d.order.Uint32(b)
	}
	return 0
}

// text reads a string of n bytes and the zero after it.
func (d *decoder) text(n int) string {
	s := string(d.take(n))
	d.take(1)
	return s
}

// variant reads a value that has its signature before it.
func (d *decoder) variant() any { return d.value(d.text(int(d.byte()))) }

// value reads a value of that signature. Of other types than those known it reads nothing and
// returns nil.
func (d *decoder) value(signature string) any {
	switch signature {
	case "s", "o":
		return d.text(int(d.uint32()))
	case "g":
		return d.text(int(d.byte()))
	case "u":
		return d.uint32()
	}
	return nil
}
