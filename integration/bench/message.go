package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"strconv"
	"time"
)

// models is how many messages are prepared; what is sent repeats them.
const models = 2048

// Lengths of a model with its framing.
const minSize, meanSize, maxSize = 100, 268, 500

// A model is a prepared message. What is sent has another trailer.
type model struct {
	frame []byte  // as it goes over TCP
	text  []byte  // the part of frame that is the message
	end   int     // of text in frame
	name  [4]byte // its number, as the trailer has it
	to    uint8   // bit set of the destinations where it must go
}

// modelAt is the model of a connection's message.
func modelAt(conn, number int) int { return int(uint(number+257*conn) % models) }

// A family is a program and what it says.
type family struct {
	program    string
	facilities []int
	texts      []string
}

var families = []family{
	{"sshd", []int{4, 10}, []string{"Accepted publickey for deploy from 192.0.2.17 port 50022 ssh2", "Failed password for invalid user admin from 198.51.100.4 port 41022 ssh2"}},
	{"sudo", []int{10}, []string{"deploy : TTY=pts/0 ; PWD=/srv ; USER=root ; COMMAND=/usr/bin/systemctl reload nginx"}},
	{"nginx", []int{3, 23}, []string{`192.0.2.44 - - "GET /api/v1/orders?page=3 HTTP/1.1" 200 5316 "-" "curl/8.5.0" rt=0.013`, "upstream timed out while reading response header from upstream"}},
	{"haproxy", []int{16}, []string{"192.0.2.9:51512 front~ app/srv3 0/0/1/12/13 200 843 - - ---- 41/41/0/0/0 0/0", "Server app/srv2 is DOWN, reason: Layer4 timeout, check duration: 2001ms"}},
	{"postfix/smtp", []int{2}, []string{"4F2A11C0: to=<ops@example.com>, relay=mx1.example.com[203.0.113.5]:25, delay=0.61, status=sent (250 2.0.0 Ok)"}},
	{"CRON", []int{9}, []string{"(root) CMD (test -x /usr/sbin/anacron || run-parts --report /etc/cron.hourly)"}},
	{"kernel", []int{0}, []string{"eth0: link up, 10000 Mbps, full duplex, lpa 0x45E1", "Out of memory: Killed process 2211 (java) total-vm:8123412kB"}},
	{"systemd", []int{3}, []string{"Started Session 4411 of user deploy.", "nginx.service: Deactivated successfully."}},
	{"orders", []int{17, 18, 20}, []string{"connect timeout to host db3 after 3000 ms, retry 2", "connection refused by port 5432 of the replica", "order 8841123 accepted in 12 ms, 3 lines, total 118.40 EUR"}},
	{"billing", []int{19, 21, 22}, []string{"gateway unreachable, next host gw2", "invoice 2026-118823 written, timeout of the lock not reached", "retry queue is empty"}},
}

const words = " session=7f3a01 request=91b2 tenant=acme user=deploy zone=eu-1 node=r4-17 trace=00f067aa0ba902b7 bytes=18231 cache=miss attempt=1 shard=12 queue=default pool=blue build=4411 took=18ms"

// newModels prepares the messages of a workload, the same ones in each run.
func newModels(w workload) []model {
	random := rand.New(rand.NewPCG(1, 268))
	all := make([]model, models)
	now := time.Now().Truncate(time.Second)
	for i := range all {
		all[i] = newModel(w, random, now)
		digits(all[i].name[:], i)
	}
	return all
}

func newModel(w workload, random *rand.Rand, now time.Time) model {
	f := families[random.IntN(len(families))]
	priority := 8*f.facilities[random.IntN(len(f.facilities))] + severity(random)
	stamp := now.Add(-time.Duration(random.IntN(3)) * time.Second) // the clocks of hosts differ
	host := fmt.Sprintf("%s%02d.example.net", []string{"web", "db", "mail", "app"}[random.IntN(4)], random.IntN(40))
	pid := strconv.Itoa(300 + random.IntN(30000))
	text := []byte(fmt.Sprintf("<%d>", priority))
	switch {
	case w.counted:
		data := []string{"-", "-", "-", `[origin ip="192.0.2.1"]`}[random.IntN(4)]
		text = fmt.Appendf(text, "1 %s %s %s %s - %s ", stamp.UTC().Format("2006-01-02T15:04:05+00:00"), host, f.program, pid, data)
	case w.size > 0: // the shortest header
		text = fmt.Appendf(text, "%s h p:", stamp.Format(time.Stamp))
	default:
		text = fmt.Appendf(text, "%s %s %s[%s]: ", stamp.Format(time.Stamp), host, f.program, pid)
	}
	header, size := len(text), w.size
	if size == 0 {
		text = append(text, f.texts[random.IntN(len(f.texts))]...)
		size = sizeOf(random)
	}
	for len(text)+len(blank)+1 < size {
		text = append(text, words[:min(len(words), size-len(text)-len(blank)-1)]...)
	}
	text = append(text, blank...)
	m := model{frame: append(text, '\n'), end: len(text), to: 1}
	if w.counted {
		m.frame = fmt.Appendf(nil, "%d %s", len(text), text)
		m.end = len(m.frame)
	}
	m.text = m.frame[m.end-len(text) : m.end]
	if w.destinations > 1 {
		m.to = route(priority, f.program, text[header:])
	}
	return m
}

// severity is mostly info.
func severity(random *rand.Rand) int {
	return []int{6, 6, 6, 6, 5, 5, 4, 7, 3, 2}[random.IntN(10)]
}

// sizeOf is a length from minSize to maxSize, more often a small one. What a program says may be longer.
func sizeOf(random *rand.Rand) int {
	const skew = 1.62 // so that the mean is meanSize
	return minSize + int(float64(maxSize-minSize)*math.Pow(random.Float64(), skew))
}

var unreachable = regexp.MustCompile(`(timeout|refused|unreachable).*(host|port) `)

// route says where a message must go by the log paths of W3, as bits of the destinations. It is the plainest way to say so.
func route(priority int, program string, content []byte) (to uint8) {
	facility, severity := priority/8, priority%8
	if facility == 4 || facility == 10 {
		return 1 << 0
	}
	if severity <= 3 {
		to |= 1 << 1
	}
	if program == "nginx" || program == "haproxy" {
		to |= 1 << 2
	}
	if facility >= 16 && facility <= 23 && unreachable.Match(content) {
		to |= 1 << 0
	}
	if to == 0 {
		to = 1 << 3
	}
	return to
}
