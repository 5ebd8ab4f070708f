package loadgen

import "encoding/json"

// pageBits is how many numbers a page has.
const pageBits = 1 << 15

// maxPages is how many pages a set keeps, 256 MiB numbers.
const maxPages = 1 << 13

// A set has the numbers that came. Those below its first page it takes for members: they came, or it has given them up.
type set struct {
	first int64   // number of the first page
	pages []*page // nil: no number of it came
}

type page struct {
	count int
	bits  [pageBits / 64]uint64
}

// add tells whether n is a new member.
func (s *set) add(n int64) bool {
	at := n/pageBits - s.first
	if at < 0 {
		return false
	}
	if over := at - maxPages + 1; over > 0 {
		s.pages = s.pages[min(over, int64(len(s.pages))):]
		s.first += over
		at -= over
	}
	for int64(len(s.pages)) <= at {
		s.pages = append(s.pages, nil)
	}
	p := s.pages[at]
	if p == nil {
		p = &page{}
		s.pages[at] = p
	}
	word, bit := &p.bits[n%pageBits/64], uint64(1)<<(n%64)
	if *word&bit != 0 {
		return false
	}
	*word |= bit
	p.count++
	for len(s.pages) > 0 && s.pages[0] != nil && s.pages[0].count == pageBits {
		s.pages[0] = nil
		s.pages = s.pages[1:]
		s.first++
	}
	return true
}

func (s *set) has(n int64) bool {
	at := n/pageBits - s.first
	if at < 0 {
		return true
	}
	return at < int64(len(s.pages)) && s.pages[at] != nil && s.pages[at].bits[n%pageBits/64]&(1<<(n%64)) != 0
}

// A Range is numbers from First to Last; in JSON [first, last].
type Range struct{ First, Last int64 }

// MarshalJSON writes a list of two.
func (r Range) MarshalJSON() ([]byte, error) { return json.Marshal([2]int64{r.First, r.Last}) }

// missing returns the first numbers below end that are no members.
func (s *set) missing(end int64) (list []Range) {
	for n := s.first * pageBits; n < end && len(list) < maxMissing; n++ {
		if s.has(n) {
			continue
		}
		r := Range{n, n}
		for n+1 < end && n+1 < (s.first+int64(len(s.pages)))*pageBits && !s.has(n+1) {
			n++
		}
		if n+1 >= (s.first+int64(len(s.pages)))*pageBits {
			n = end - 1
		}
		r.Last = n
		list = append(list, r)
	}
	return list
}
