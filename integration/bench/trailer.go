package main

// blank is the trailer that ends each message: connection, number on that connection, model, and when it was due, in microseconds of the run.
const blank = " c00000 n00000000 k0000 t0000000000"

// A trailer is that of one message.
type trailer [len(blank)]byte

// A mark is what a trailer says.
type mark struct{ conn, number, model, due int }

// trailerOf writes m.
func trailerOf(m mark) (t trailer) {
	copy(t[:], blank)
	digits(t[2:7], m.conn)
	digits(t[9:17], m.number)
	digits(t[19:23], m.model)
	t.due(m.due)
	return t
}

func (t *trailer) due(microseconds int) { digits(t[25:35], microseconds) }

// forward makes t the trailer of the message that comes n later on the same connection, and is of model m. To count costs less
// than to write a number.
func (t *trailer) forward(n int, m *model) {
	for i := 16; i >= 9 && n > 0; i-- {
		n += int(t[i] - '0')
		t[i] = byte('0' + n%10)
		n /= 10
	}
	*(*[4]byte)(t[19:]) = m.name
}

func digits(to []byte, n int) {
	for i := len(to) - 1; i >= 0; i-- {
		to[i] = byte('0' + n%10)
		n /= 10
	}
}

// markOf reads the trailer of text.
func markOf(text []byte) (m mark, ok bool) {
	if len(text) < len(blank) {
		return mark{}, false
	}
	t := text[len(text)-len(blank):]
	if string(t[:2]) != " c" || string(t[7:9]) != " n" || string(t[17:19]) != " k" || string(t[23:25]) != " t" {
		return mark{}, false
	}
	m = mark{number(t[2:7]), number(t[9:17]), number(t[19:23]), number(t[25:35])}
	return m, m.conn >= 0 && m.number >= 0 && m.model >= 0 && m.model < models && m.due >= 0
}

// number is the number that b has, with zeros before it; below zero: it is none.
func number(b []byte) (n int) {
	for _, c := range b {
		if c < '0' || c > '9' {
			return -1
		}
		n = n*10 + int(c-'0')
	}
	return n
}
