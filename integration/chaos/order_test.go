package chaos

import (
	"bytes"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// An arrival is a message in a file: its client, and its number there.
type arrival struct{ client, number int }

// arrivals reads the marks that `forwarder send` puts into its messages. A kill may leave a part of a message, and the next one
// behind it on the same line.
func arrivals(file []byte) (list []arrival) {
	for line := range bytes.Lines(file) {
		mark := line[max(0, bytes.LastIndex(line, []byte(" run="))):]
		client, ok1 := field(mark, " connection=")
		number, ok2 := field(mark, " number=")
		if ok1 && ok2 {
			list = append(list, arrival{client, number})
		}
	}
	return list
}

func field(mark []byte, name string) (n int, ok bool) {
	_, value, _ := bytes.Cut(mark, []byte(name))
	digits, _, ok := bytes.Cut(value, []byte("/"))
	n, err := strconv.Atoi(string(digits))
	return n, ok && err == nil
}

// A late message came to a file after a later one of its client.
type late struct {
	arrival
	file, line int // from 0
	after      int // number of the later one
}

// disorder finds what came late and should not have. The order is kept from a sender to a server. What went to two servers, since
// the first one did not say that it has it, may come by that one behind what it got over a later connection. So a message that is
// late in one file has to be in another one too. A message that comes again is not late. It also tells how many messages there are.
func disorder(files [][]arrival) (list []late, messages int) {
	in := map[arrival]uint{} // files, a bit each
	for i, file := range files {
		for _, a := range file {
			in[a] |= 1 << i
		}
	}
	for i, file := range files {
		highest, here := map[int]int{}, map[arrival]bool{}
		for line, a := range file {
			last, known := highest[a.client]
			if !known || a.number > last {
				highest[a.client] = a.number
			} else if !here[a] && in[a] == 1<<i {
				list = append(list, late{a, i, line, last})
			}
			here[a] = true
		}
	}
	return list, len(in)
}

// mark makes a line of a message like "b7", the seventh of the second client.
func mark(message string) string {
	return fmt.Sprintf("<13>Nov 22 07:00:00 h p: x run=0badcafe connection=%05d/00002 number=%012s/000000000000 sent=1\n", message[0]-'a', message[1:])
}

func TestArrivals(t *testing.T) {
	whole := mark("a1")
	for name, test := range map[string]struct {
		file string
		want []arrival
	}{
		"whole":                    {whole + mark("b12"), []arrival{{0, 1}, {1, 12}}},
		"cut, and another":         {whole[:len(whole)-30] + mark("b12"), []arrival{{1, 12}}},
		"cut in the mark, at last": {mark("b12") + whole[:len(whole)-30], []arrival{{1, 12}}},
		"no mark":                  {"nothing\n" + whole, []arrival{{0, 1}}},
	} {
		if got := arrivals([]byte(test.file)); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
}

func TestDisorder(t *testing.T) {
	for _, test := range []struct {
		name  string
		files string // separated by |: client and number
		want  []late
	}{
		{"in order", "a1 b1 a2 a3 b2", nil},
		{"a gap", "a1 a9", nil},
		{"one late", "a1 a3 b1 a2", []late{{arrival{0, 2}, 0, 3, 3}}},
		{"several late", "a3 a1 a2 a4", []late{{arrival{0, 1}, 0, 1, 3}, {arrival{0, 2}, 0, 2, 3}}},
		{"of another client", "a3 b1 b2", nil},
		{"again", "a1 a2 a3 a2 a3 a4", nil},
		{"late, and again", "a1 a3 a2 a2", []late{{arrival{0, 2}, 0, 2, 3}}},
		{"by two ways", "a1 a2|a3 a4", nil},
		{"late by the second way alone", "a1 a2|a4 a3", []late{{arrival{0, 3}, 1, 1, 4}}},
		{"late by the first way, resent by the second", "a1 a4 a3|a2 a3", nil},
		{"late by both ways", "a4 a3|a4 a3", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			var files [][]arrival
			for _, text := range strings.Split(test.files, "|") {
				var file string
				for _, m := range strings.Fields(text) {
					file += mark(m)
				}
				files = append(files, arrivals([]byte(file)))
			}
			if got, _ := disorder(files); !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}
