package main

import "testing"

// To count a trailer on gives the same as to write it.
func TestTrailer(t *testing.T) {
	all := newModels(workload{destinations: 1})
	for _, test := range []struct{ number, n int }{{0, 1}, {8, 1}, {9, 1}, {99, 1}, {95, 17}, {1999, 2048}, {8999, 1001}, {9_999_998, 1}, {9_999_999, 1}, {99_999_998, 1}} {
		from, to := mark{12345, test.number, test.number % models, 1}, mark{12345, test.number + test.n, (test.number + test.n) % models, 1}
		got := trailerOf(from)
		got.forward(test.n, &all[to.model])
		if want := trailerOf(to); got != want {
			t.Errorf("%d and %d more: got %q, want %q", test.number, test.n, got, want)
		}
		if got, ok := markOf(got[:]); !ok || got != to {
			t.Errorf("got %+v, want %+v", got, to)
		}
	}
}
