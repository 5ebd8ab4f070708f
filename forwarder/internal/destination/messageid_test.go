package destination

import (
	"regexp"
	"testing"
)

func TestMessageID(t *testing.T) {
	d := open(t, "d", driver("syslog", func(n *Network) { n.Address, n.Framing, n.MessageID = "a", "newline", "kad@32473" }))
	const element = `\[kad@32473 id="[^" ]+-[0-9a-z]+-[0-9]+"\]`
	var texts []string
	for _, test := range []struct{ line, want string }{
		{`<13>1 2026-10-11T22:14:15Z h app - - - text`, element},
		{`<13>1 2026-10-11T22:14:15Z h app - - - text`, element},
		{`<13>1 2026-10-11T22:14:15Z h app - - [a@1 b="c"] text`, `\[a@1 b="c"\]` + element},
		{`<13>1 2026-10-11T22:14:15Z h app - - [kad@32473 id="x-1-2"] text`, `\[kad@32473 id="x-1-2"\]`},
	} {
		text, _ := d.Render(message(t, test.line))
		if !regexp.MustCompile(`^<13>1 2026-10-11T22:14:15[^ ]* h app - - ` + test.want + " text\n$").Match(text) {
			t.Errorf("%s: got %q", test.line, text)
		}
		texts = append(texts, string(text))
	}
	if texts[0] == texts[1] {
		t.Errorf("two messages have the same id: %q", texts[0])
	}
}
