package syslog

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"kad/pkg/testneed"
)

// seeds are the forms that real senders have, and near misses of them.
var seeds = []string{
	"<13>Oct 11 22:14:15 h1 app: text",
	"<13>Oct  1 22:14:15 h1 app[123]: text",
	"<13>Oct 01 22:14:15 h1 app[]: text",
	"<13>Oct 1 22:14:15 h1 app: one blank before the day",
	"Oct 11 22:14:15 h1 app: no priority",
	"<13>Oct 11 22:14:15.123456 h1 app: fraction",
	"<13>Oct 11 22:14:15,5 h1 app: comma",
	"<13>Oct 11 22:14:15.1234567 h1 app: seven digits",
	"<13>Oct 11 2023 22:14:15: %ASA-6-302013: Built outbound",
	"<13>Oct 11 2023 22:14:15 h1 : %ASA-6-302013: Built",
	"<13>Oct 11 22:14:15 2023 h1 app: linksys",
	"<189>29: Oct 11 22:14:15.123: %SYS-5-CONFIG_I: Configured",
	"<189>29: *Oct 11 22:14:15.123: %SYS-5-CONFIG_I: Configured",
	"<189>29: .Oct 11 22:14:15: %SYS-5-CONFIG_I: Configured",
	"<189>29: host: *Oct 11 22:14:15 UTC: %SYS-5-CONFIG_I: Configured",
	"<189>: Oct 11 22:14:15: %SYS-5-CONFIG_I: no number",
	"<13>2023-10-11T22:14:15Z h1 app: iso",
	"<13>2023-10-11T22:14:15.003-07:00 h1 app: iso",
	"<13>2023-10-11T22:14:15+0700 h1 app: iso",
	"<13>2023-10-11 22:14:15 h1 app: blank",
	"<13>2023-10-11T22:14:15 h1 app: no zone",
	"<13>2023-00-00T99:99:99Z h1 app: out of range",
	"<13>2023:10:11:22:14:15 h1 app: colons",
	"<13>Oct 11 22:14:15 2001:db8::1 app: ipv6 host",
	"<13>Oct 11 22:14:15 2001:db8::12345 app: not ipv6",
	"<13>Oct 11 22:14:15 ::1 app: ipv6 host",
	"<13>Oct 11 22:14:15 [2001:db8::1] app: brackets",
	"<13>Oct 11 22:14:15 1:2:3:4:5:6:7:8 app: ipv6",
	"<13>Oct 11 22:14:15 1:2:3:4:5:6:7:8:9 app: too many",
	"<13>Oct 11 22:14:15: h1 app: colon after the stamp",
	"<13>Oct 11 22:14:15 host:514 app: port",
	"<13>Oct 11 22:14:15 app: no host",
	"<13>Oct 11 22:14:15 app[1]: no host",
	"<13>Oct 11 22:14:15 h1 postfix/smtpd[1]: slash",
	"<13>Oct 11 22:14:15 h1 app[12 3]: blank in brackets",
	"<13>Oct 11 22:14:15 h1 app[12:3]: colon in brackets",
	"<13>Oct 11 22:14:15 h1 app[123",
	"<13>Oct 11 22:14:15 h1 app[1]text",
	"<13>Oct 11 22:14:15 h1 app",
	"<13>Oct 11 22:14:15 h1",
	"<13>Oct 11 22:14:15 ",
	"<13>Oct 11 22:14:15",
	"<13>Oct 11 22:14:15 h1  two blanks",
	"<13>Oct 11 22:14:15  h1 app: two blanks",
	"<13>Oct 11 22:14:15 h1 : no tag",
	"<13>Oct 11 22:14:15 h1 [1]: no tag",
	"<13>Oct 11 22:14:15 last message repeated 3 times",
	"<13>Oct 11 22:14:15 last message repeated",
	"<13>Oct 11 22:14:15 h1 last message repeated 3 times",
	"<13>Oct 11 22:14:15 Message forwarded from h2: app[1]: aix",
	"<13>Oct 11 22:14:15 Message forwarded from h2: last message repeated 3 times",
	"<13>Oct 11 22:14:15 Message forwarded from h2",
	"<13>oct 11 22:14:15 h1 app: small",
	"<13>OCT 11 22:14:15 h1 app: capitals",
	"<13>Okt 11 22:14:15 h1 app: german",
	"<13>Oct 99 99:99:99 h1 app: out of range",
	"<13>Nov    :  :   h1 app: blanks for digits",
	"<0>Oct 11 22:14:15 h1 app: kern",
	"<0>no stamp",
	"<13>text only",
	"<13>",
	"<13",
	"<",
	"<>Oct 11 22:14:15 h1 app: empty priority",
	"<abc>Oct 11 22:14:15 h1 app: letters",
	"<-1>Oct 11 22:14:15 h1 app: minus",
	"<192>Oct 11 22:14:15 h1 app: 192",
	"<65549>Oct 11 22:14:15 h1 app: 16 bits",
	"<4294967309>Oct 11 22:14:15 h1 app: 32 bits",
	"< 13>Oct 11 22:14:15 h1 app: blank",
	"<13> Oct 11 22:14:15 h1 app: blank",
	"<13>Oct 11 22:14:15\th1 app: tab",
	"<13>Oct 11 22:14:15 h1 app:\ttab",
	"<13>Oct 11 22:14:15 h1 app: text\r\n",
	"<13>Oct 11 22:14:15 h1 app: text\n\x00\n",
	"<13>Oct 11 22:14:15 h1 app: nul \x00 inside",
	"<13>Oct 11 22:14:15 h1 app: caf\xe9",
	"\xef\xbb\xbf<13>Oct 11 22:14:15 h1 app: bom",
	"<13>Oct 11 22:14:15 " + strings.Repeat("h", 255) + " app: longest host",
	"<13>Oct 11 22:14:15 " + strings.Repeat("h", 256) + " app: too long a host",
	"<13>1 2023-10-11T22:14:15.003Z h1 app 123 ID47 [ex@1 a=\"1\" b=\"2\"][other] text",
	"<13>1 2023-10-11T22:14:15Z h1 app - - -",
	"<13>1 2023-10-11T22:14:15Z h1 app - - - ",
	"<13>1 2023-10-11T22:14:15Z h1 app - - - \xef\xbb\xbfbom",
	"<13>1 2023-10-11T22:14:15Z - - - - - ",
	"<13>1 - - - - - - nil stamp",
	"<13>1 2023-10-11T22:14:15.123456789+02:00 h1 app - - - nine digits",
	"<13>1 2023-10-11T22:14:15 h1 app - - - no zone",
	"<13>1 2023-10-11 22:14:15Z h1 app - - - blank",
	"<13>1 Oct 11 22:14:15 h1 app - - - bsd",
	"<13>1 2023-10-11T22:14:15Z h1 app - - no data",
	"<13>1 2023-10-11T22:14:15Z h1 app - -",
	"<13>1 2023-10-11T22:14:15Z h1 app",
	"<13>1 2023-10-11T22:14:15Z h1",
	"<13>1 2023-10-11T22:14:15Z",
	"<13>1 ",
	"<13>1",
	"<13>01 2023-10-11T22:14:15Z h1 app - - - zero",
	"<13>2 2023-10-11T22:14:15Z h1 app - - - two",
	"<13>11 2023-10-11T22:14:15Z h1 app - - - eleven",
	"1 2023-10-11T22:14:15Z h1 app - - - no priority",
	"<x>1 2023-10-11T22:14:15Z h1 app - - - letters",
	"<13>1 2023-10-11T22:14:15Z h1:514 app - - - port",
	"<13>1 2023-10-11T22:14:15Z 2001:db8::1 app - - - ipv6",
	"<13>1 2023-10-11T22:14:15Z [2001:db8::1] app - - - brackets",
	"<13>1 2023-10-11T22:14:15Z  app - - - no host",
	"<13>1 2023-10-11T22:14:15Z h1  - - - no app",
	"<13>1 2023-10-11T22:14:15Z h1 app - - [a b=\"\\\"\\\\\\]\\n\"] escapes",
	"<13>1 2023-10-11T22:14:15Z h1 app - - [a b=\"]\"] bracket",
	"<13>1 2023-10-11T22:14:15Z h1 app - - [a b=\"x] open",
	"<13>1 2023-10-11T22:14:15Z h1 app - - [a b=\"x\\",
	"<13>1 2023-10-11T22:14:15Z h1 app - - [a b=x] no quotes",
	"<13>1 2023-10-11T22:14:15Z h1 app - - [a  b=\"x\"] two blanks",
	"<13>1 2023-10-11T22:14:15Z h1 app - - [a b=\"x\" ] blank at the end",
	"<13>1 2023-10-11T22:14:15Z h1 app - - [] no id",
	"<13>1 2023-10-11T22:14:15Z h1 app - - [a=b] id",
	"<13>1 2023-10-11T22:14:15Z h1 app - - [a",
	"<13>1 2023-10-11T22:14:15Z h1 app - - [",
	"<13>1 2023-10-11T22:14:15Z h1 app - - [a =\"x\"] no name",
	"<13>1 2023-10-11T22:14:15Z h1 app - - [a b=\"x\"]text without blank",
	"<13>1 2023-10-11T22:14:15Z h1 app - - [a b=\"x\"] [c d=\"y\"] text",
	"<13>1 2023-10-11T22:14:15Z h1 app - - [a b=\"1\"][a b=\"2\"] twice",
	"<13>1 2023-10-11T22:14:15Z h1 app - - -text",
	"<13>1 2023-10-11T22:14:15Z h1 app - - text for data",
	"<13>1 2023-10-11T22:14:15Z h1 app - - [" + strings.Repeat("a", 246) + " b=\"x\"] long",
	"<13>1 2023-10-11T22:14:15Z h1 app - - [" + strings.Repeat("a", 247) + " b=\"x\"] long",
	"<13>1 2023-10-11T22:14:15Z h1 app - - [" + strings.Repeat("a", 248) + " b=\"x\"] long",
	"<13>1 2023-10-11T22:14:15Z h1 app - - [" + strings.Repeat("a", 249) + " b=\"x\"] long",
	"<13>1 2023-10-11T22:14:15Z h1 app - - [a " + strings.Repeat("b", 246) + "=\"x\"] long",
	"<13>1 2023-10-11T22:14:15Z h1 app - - [a " + strings.Repeat("b", 253) + "=\"x\"] long",
	"<13>1 2023-10-11T22:14:15Z h1 app - - [a " + strings.Repeat("b", 254) + "=\"x\"] long",
	"<13>1 2023-10-11T22:14:15Z h1 app - - [a " + strings.Repeat("b", 255) + "=\"x\"] long",
	"<13>1 2023-10-11T22:14:15Z h1 " + strings.Repeat("a", 49) + " " + strings.Repeat("p", 129) + " " + strings.Repeat("m", 33) + " - long",
}

// mutate changes a few places of a seed.
func mutate(rnd *rand.Rand) string {
	const bytesOfNote = " :[]<>=\"\\-.,*/0159TZaOct\n\xe9\xef"
	s := []byte(seeds[rnd.IntN(len(seeds))])
	for range rnd.IntN(4) {
		i := rnd.IntN(len(s) + 1)
		c := bytesOfNote[rnd.IntN(len(bytesOfNote))]
		switch {
		case i < len(s) && rnd.IntN(3) == 0:
			s = append(s[:i], s[i+1:]...)
		case i < len(s) && rnd.IntN(2) == 0:
			s[i] = c
		default:
			s = append(s[:i], append([]byte{c}, s[i:]...)...)
		}
	}
	return "<" + strings.TrimPrefix(string(s), "<") // an empty datagram is none
}

// TestAsSyslogNg sends the seeds, and changed ones, to the real syslog-ng and compares what it finds in them. They are changed in
// the same way each time, and in another one by KAD_SEED=N.
func TestAsSyslogNg(t *testing.T) {
	seed, err := strconv.ParseUint(cmp.Or(os.Getenv("KAD_SEED"), "1"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, seed))
	for _, mode := range []struct {
		name, source string
		parser       Parser
	}{
		{"rfc3164", `network(transport("udp") ip("127.0.0.1") port(%d) so-rcvbuf(4194304))`, Parser{}},
		{"rfc5424", `syslog(transport("udp") ip("127.0.0.1") port(%d) so-rcvbuf(4194304))`, Parser{RFC5424: true}},
		{"no-hostname", `network(transport("udp") ip("127.0.0.1") port(%d) so-rcvbuf(4194304) flags(no-hostname))`, Parser{NoHostname: true}},
		{"check-hostname", `network(transport("udp") ip("127.0.0.1") port(%d) so-rcvbuf(4194304) flags(check-hostname))`, Parser{CheckHostname: true}},
		{"no-fallback", `syslog(transport("udp") ip("127.0.0.1") port(%d) so-rcvbuf(4194304) flags(syslog-protocol, no-rfc3164-fallback))`, Parser{RFC5424: true, NoFallback: true}},
		{"no-header", `network(transport("udp") ip("127.0.0.1") port(%d) so-rcvbuf(4194304) flags(no-header))`, Parser{NoHeader: true}},
	} {
		t.Run(mode.name, func(t *testing.T) {
			messages := append([]string(nil), seeds...)
			for range 2000 {
				messages = append(messages, mutate(rnd))
			}
			var want []string
			mode.parser.Location = time.UTC
			for _, s := range messages {
				want = append(want, asSyslogNgShowsIt([]byte(s), &mode.parser))
			}
			got := askSyslogNg(t, mode.source, messages)
			if len(got) != len(messages) {
				t.Fatalf("syslog-ng has %d messages, want %d", len(got), len(messages))
			}
			bad := 0
			for i := range got {
				if got[i] != want[i] && bad < 10 && !knownDifference.MatchString(messages[i]) {
					bad++
					t.Errorf("%q\n   syslog-ng %s\n   we        %s", messages[i], got[i], want[i])
				}
			}
		})
	}
}

// knownDifference finds what syslog-ng writes otherwise: a time of day out of range, which it corrects twice, a year that
// its 32-bit output has no room for, and brackets and dots in names of structured data.
var knownDifference = regexp.MustCompile(`(2[4-9]|[3-9][ 0-9]):[ 0-9]{2}:|:[6-9][ 0-9]|(\b[013-9]\d| \d|\b2[1-9])\d\d[- ]|\[[^ \]]*[[.]|[[.][^ "=]*="`)

// asSyslogNgShowsIt parses b and shows the result as showAnswer shows syslog-ng's.
func asSyslogNgShowsIt(b []byte, p *Parser) string {
	var m Message
	now := TimeOf(time.Now())
	if err := p.Parse(b, now, &m); err != nil {
		b = bytes.TrimRight(b, "\n\x00")
		text := string(b)
		if i := err.(*SyntaxError).Offset; i > 0 {
			text = text[:i-1] + ">@<" + text[i-1:]
		}
		text, _, _ = strings.Cut(text, "\x00")
		return fmt.Sprintf("%q", []string{"43", "", "127.0.0.1", "syslog-ng", "", "", "map[]", "Error processing log message: " + text, ""})
	}
	host := string(m.Hostname)
	if host == "" {
		host = "127.0.0.1"
	}
	data := sdata(m.StructuredData)
	switch m.Clock {
	case ClockSynced:
		data["timeQuality.isSynced"] = "1"
	case ClockUnsynced:
		data["timeQuality.isSynced"] = "0"
	}
	if m.SequenceID != nil {
		data["meta.sequenceId"] = string(m.SequenceID)
	}
	stamp := ""
	if m.Stamped {
		stamp = showStamp(time.Unix(m.Timestamp.Sec, int64(m.Timestamp.Usec)*1000))
	}
	return fmt.Sprintf("%q", []string{fmt.Sprint(m.Priority), stamp, host, string(m.AppName), string(m.ProcID),
		string(m.MsgID), fmt.Sprint(data), string(m.Msg), string(m.Tag)})
}

// showStamp leaves out the year, which syslog-ng guesses otherwise, and stamps that are the time of receipt.
func showStamp(t time.Time) string {
	if d := time.Since(t); -time.Minute < d && d < time.Minute {
		return ""
	}
	return t.UTC().Format("-01-02T15:04:05.000000")
}

func sdata(b []byte) map[string]string {
	values := map[string]string{}
	for p := range Params(b) {
		name := string(p.ID)
		if len(p.Name) > 0 {
			name += "." + string(p.Name)
		}
		if len(".SDATA."+name) < 255 { // syslog-ng drops those with a longer name
			values[name] = string(AppendUnescaped(nil, p.Value))
		}
	}
	return values
}

// askSyslogNg sends messages to a syslog-ng of our own, in datagrams, and returns what it makes of each.
func askSyslogNg(t *testing.T, source string, messages []string) []string {
	out, port := startSyslogNg(t, source)
	conn, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	send := func(m string) {
		if _, err := conn.Write([]byte(m)); err != nil {
			t.Fatal(err)
		}
	}
	for i, m := range messages {
		if i%50 == 49 {
			time.Sleep(2 * time.Millisecond)
		}
		send(m)
	}
	lines := waitLines(t, out, len(messages))
	for i, line := range lines {
		lines[i] = showAnswer(t, line)
	}
	return lines
}

// waitLines waits until the file has n lines, and returns what it has after a minute at the latest.
func waitLines(t *testing.T, file string, n int) (lines []string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); len(lines) < n && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		b, _ := os.ReadFile(file)
		lines = strings.SplitAfter(string(b), "\n")
		lines = lines[:len(lines)-1]
	}
	return lines
}

// startSyslogNg runs syslog-ng with a UDP source and returns the file it writes and the port it listens on.
func startSyslogNg(t *testing.T, source string) (out string, port int) {
	bin := testneed.Program(t, "syslog-ng")
	port = testneed.Port(t)
	dir := t.TempDir()
	out = filepath.Join(dir, "out")
	template := ""
	for _, field := range []string{"PRI", "S_UNIXTIME", "HOST", "PROGRAM", "PID", "MSGID", "SDATA", "MSG", "LEGACY_MSGHDR"} {
		template += "$(base64-encode ${" + field + "})|"
	}
	config := fmt.Sprintf(`@version: 3.38
options { keep-hostname(yes); use-dns(no); chain-hostnames(no); stats-freq(0); frac-digits(6); time-zone("UTC"); };
log { source { %s; }; destination { file("%s" template("%s\n")); }; };
`, fmt.Sprintf(source, port), out, template)
	if err := os.WriteFile(dir+"/conf", []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, "-F", "--no-caps", "-f", dir+"/conf", "-p", dir+"/pid", "-R", dir+"/persist", "-c", dir+"/ctl")
	cmd.Env = append(os.Environ(), "TZ=UTC")
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
	})
	bound := fmt.Sprintf(":%04X ", port)
	for {
		select {
		case <-ended:
			t.Fatalf("syslog-ng ended: %s", &log)
		case <-time.After(20 * time.Millisecond):
		}
		if b, _ := os.ReadFile("/proc/net/udp"); strings.Contains(string(b), bound) {
			return out, port
		}
	}
}

func showAnswer(t *testing.T, line string) string {
	fields := strings.Split(strings.TrimSuffix(line, "|\n"), "|")
	for i := range fields {
		b, err := base64.StdEncoding.DecodeString(fields[i])
		if err != nil {
			t.Fatalf("syslog-ng's answer %q: %v", line, err)
		}
		fields[i] = string(b)
	}
	var sec, usec int64
	if _, err := fmt.Sscanf(fields[1], "%d.%d", &sec, &usec); err != nil {
		t.Fatalf("syslog-ng's answer %q: %v", line, err)
	}
	fields[1] = showStamp(time.Unix(sec, usec*1000))
	fields[6] = fmt.Sprint(sdata([]byte(fields[6])))
	if strings.HasPrefix(fields[7], "Error processing log message: ") {
		fields[4] = ""      // its PID
		fields[6] = "map[]" // the sequence number of a message of its own
	}
	return fmt.Sprintf("%q", fields)
}
