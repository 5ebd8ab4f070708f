package spelling

import "testing"

func TestNearest(t *testing.T) {
	verbs := []string{"check", "completion", "explain", "ls", "queue", "status"}
	tests := []struct{ word, want string }{
		{"chekc", "check"}, {"stats", "status"}, {"que", "queue"}, {"explian", "explain"}, {"comp", "completion"},
		{"sl", ""}, {"chhhk", "check"}, {"chhhhk", ""}, {"reload", ""}, {"", ""}, {"x", ""},
	}
	for _, tt := range tests {
		if got := Nearest(tt.word, verbs...); got != tt.want {
			t.Errorf("Nearest(%q) = %q, want %q", tt.word, got, tt.want)
		}
	}
}
