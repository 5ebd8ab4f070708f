package jetstream

import (
	"bytes"
	"fmt"
	"testing"

	"kad/forwarder/internal/letter"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func text(subject, id, text string) []byte {
	return append(letter.AppendEnd(letter.AppendHeader([]byte(subject), IDHeader, id)), text...)
}

func TestRun(t *testing.T) {
	for _, test := range []struct {
		letters [][]byte
		want    int
	}{
		{[][]byte{text("a", "1", "x")}, 1},
		{[][]byte{text("a", "1", "x"), text("a", "1", "y"), text("a", "2", "z")}, 2},
		{[][]byte{text("a", "1", "x"), text("b", "1", "y")}, 1},
		{[][]byte{text("a", "1", "x"), text("a", "10", "y")}, 1},
		{[][]byte{[]byte("a\nX: 1\n\nx"), []byte("a\nX: 1\n\ny")}, 1}, // without an id each is for itself
		{[][]byte{[]byte("a"), []byte("a")}, 1},
		{[][]byte{nil, nil}, 1},
	} {
		if got := (*Client)(nil).Run(test.letters); got != test.want {
			t.Errorf("%q: got %d, want %d", test.letters, got, test.want)
		}
	}
}

// published is a message as a consumer gets it.
type published struct {
	jetstream.Msg
	headers nats.Header
	data    []byte
}

func (p published) Headers() nats.Header { return p.headers }
func (p published) Data() []byte         { return p.data }

// A consumer gets the texts of a batch; of what is no batch, though it says so, nothing but lengths is
// left out.
func FuzzBatch(f *testing.F) {
	f.Add([]byte("<13>1 - h a - - - one"), []byte("two\n\n"), []byte("3 abc9 x"))
	f.Fuzz(func(t *testing.T, one, two, foreign []byte) {
		letters := [][]byte{text("s", "1", string(one)), text("s", "1", string(two))}
		first, err := letter.Parse(letters[0])
		if err != nil {
			t.Fatal(err)
		}
		b := batch(first, letters)
		var want, got []string
		for _, text := range [][]byte{one, two} {
			if len(text) > 0 {
				want = append(want, string(text))
			}
		}
		headers := nats.Header{}
		for _, h := range b.Headers {
			headers[h.Name] = []string{h.Value}
		}
		for text := range (Delivery{message: published{headers: headers, data: b.Text}}).Texts() {
			got = append(got, string(text))
		}
		if fmt.Sprint(got) != fmt.Sprint(want) || headers.Get(BatchHeader) != "2" || headers.Get(IDHeader) != "1" {
			t.Errorf("got %q with %v, want %q", got, headers, want)
		}
		end := 0
		for text := range (Delivery{message: published{headers: headers, data: foreign}}).Texts() {
			start := cap(foreign) - cap(text)
			if start < end || len(text) == 0 || len(bytes.Trim(foreign[end:start], "0123456789 ")) > 0 {
				t.Fatalf("%q is not what comes after %q in %q", text, foreign[:end], foreign)
			}
			end = start + len(text)
		}
		if len(bytes.Trim(foreign[end:], "0 ")) > 0 {
			t.Errorf("%q is left of %q", foreign[end:], foreign)
		}
	})
}
