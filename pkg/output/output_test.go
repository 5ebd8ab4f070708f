package output

import (
	"io"
	"strings"
	"testing"
)

func TestHead(t *testing.T) {
	for _, tt := range []struct {
		name   string
		head   Head
		writes []string
		kept   string
		lost   int
		fails  bool // at the last write
	}{
		{"room enough", Head{Max: 4}, []string{"ab", "cd"}, "abcd", 0, false},
		{"too much", Head{Max: 4}, []string{"abc", "def", "g"}, "abcd", 3, false},
		{"refused", Head{Max: 4, Refuse: true}, []string{"abc", "def"}, "abcd", 2, true},
		{"just full", Head{Max: 4, Refuse: true}, []string{"abcd", ""}, "abcd", 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := tt.head
			var err error
			for _, w := range tt.writes {
				_, err = io.WriteString(&h, w)
			}
			if string(h.Bytes()) != tt.kept || h.Lost() != tt.lost || (err != nil) != tt.fails {
				t.Errorf("kept %q, lost %d, %v", h.Bytes(), h.Lost(), err)
			}
		})
	}
}

// io.Copy finds no way round the bound.
func TestHeadCopy(t *testing.T) {
	h := Head{Max: 1024}
	if n, err := io.Copy(&h, strings.NewReader(strings.Repeat("x", 1<<20))); n != 1<<20 || err != nil || len(h.Bytes()) != 1024 {
		t.Errorf("took %d, %v, kept %d", n, err, len(h.Bytes()))
	}
}
