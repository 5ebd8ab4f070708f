package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// This file is what the generator fills its log paths with: sources, destinations, parsers, rewrites, messages.
//
// A configuration is either dated, then all messages have a stamp and the destinations may write it, or gets messages of any
// kind, whose stamp may be the time of their arrival.

// Flags and options of sources.
var (
	sourceFlags    = []string{"store-raw-message", "expect-hostname", "sanitize-utf8", "validate-utf8", "assume-utf8", "dont-store-legacy-msghdr", "store-legacy-msghdr", "no-multi-line"}
	undatedFlags   = []string{"no-hostname", "syslog-protocol", "no-parse"}
	sourceSettings = []string{
		`keep-hostname(no)`, `host-override("over")`, `program-override("prog")`, `time-zone("Europe/Budapest")`, `default-facility(mail)`, `default-priority(crit)`,
		`normalize-hostnames(yes)`, `tags("more", "and more")`, `chain-hostnames(yes)`,
	}
	undatedSettings = []string{`log-msg-size(160)`, `log-msg-size(160) trim-large-messages(yes)`}
)

// sourceOptions are few, as most of them hide what others do.
func (g *generator) sourceOptions() string {
	flags, settings := sourceFlags, sourceSettings
	if !g.dated {
		flags, settings = slices.Concat(flags, undatedFlags), slices.Concat(settings, undatedSettings)
	}
	var parts []string
	if g.chance(25) {
		parts = append(parts, g.pickSome(settings)...)
	}
	if g.chance(35) {
		parts = append(parts, "flags("+strings.Join(g.pickSome(flags), ", ")+")")
	}
	return strings.Join(parts, " ")
}

// pickSome is one or two of a list.
func (g *generator) pickSome(from []string) []string {
	some := []string{pick(g, from)}
	if other := pick(g, from); g.chance(30) && other != some[0] {
		some = append(some, other)
	}
	return some
}

var templates = []string{
	`$PRI $HOST $PROGRAM $MSG`,
	`$FACILITY.$LEVEL $TAG $BSDTAG [$PID] <$MSGHDR> $MESSAGE {$TAGS}`,
	`${.SDATA.ex@1.a} $MSGID $SDATA $MSG`,
	`${c1}|${c2}|${c3}|${k.k}|${k.o}|${j.a}|${j.n}|${word}|${nothing:-none}`,
	`$(length $MSG) $(substr $MSG 1 3) $(lowercase $HOST) $(strip $MSG) $(padding $PROGRAM 10 .)`,
	`$(if ("$LEVEL_NUM" < "4") "bad $HOST" good) $(or ${k.k} ${j.a} none) $(grep facility(mail) $PROGRAM $HOST)`,
	`$(format-json --key c1 --key c2 --key k.* --key j.* msg=$MSG)`, `$(format-json --scope rfc5424 --exclude DATE)`, `$(format-welf host=$HOST msg=$MSG)`,
	`$(sanitize $MSG) $(replace-delimiter " =" "_" $MSG) $(+ 1 $LEVEL_NUM) $(md5 $MSG)`,
	`$(explode " " $MSG) $(list-append "$HOST" "$PROGRAM") $(list-count $MSG)`,
	`$(names k.* j.*) $(values c?) $(list-search two $(explode " " $MSG)) $(list-search --mode glob "[kb]*" $MSG) $(max $MSG)`,
	`$(base64-encode $MSG) $(url-encode $MSG) $(echo $PROGRAM $PID)`,
	`$* $1 $(map "<$_>" $(explode " " $MSG)) $(filter ("$_" ne "two") $(explode " " $MSG)) $(list-slice 1:-1 $(explode " " $MSG))`,
	`$(template t_line) $(template t_escaped) $SOURCE $PROTO $HOST_FROM`, `$(format-json --scope nv-pairs --exclude HOST_FROM --exclude k.* --key k.o,PRI)`,
	`$(format-json --key k.* --rekey k.* --shift 2 --add-prefix "x.") $(format-welf --scope sdata)`,
	`$(indent-multi-line $MSG)$(sha1 --length 6 $HOST) $(% $LEVEL_NUM 3) $(list-nth -1 $(explode " " $MSG))`,
}

// datedTemplates and datedOptions are those that only dated configurations have.
var (
	datedTemplates = []string{
		`$ISODATE $HOST $MSGHDR$MSG`, `$RAWMSG`, `$DATE|$FULLDATE|$UNIXTIME|$STAMP|$TZ|$MSEC`, `$YEAR-$MONTH-$DAY $HOUR:$MIN:$SEC $WEEK_DAY $WEEK $YEAR_DAY $AMPM $HOUR12 $MONTH_ABBREV`, `$S_DATE $S_STAMP ${S_USEC}`,
	}
	datedOptions = []string{`ts-format(iso)`, `ts-format(full)`, `ts-format(unix)`, `frac-digits(3)`, `frac-digits(6)`, `time-zone("America/New_York")`, `send-time-zone("+03:30")`, `local-time-zone("Asia/Tokyo")`}
)

// destinations are six files and two servers, which write stamps in dated configurations.
func (g *generator) destinations() string {
	var b strings.Builder
	b.WriteString(namedTemplates)
	for i := range 6 {
		file := fmt.Sprintf("file(\"@@DIR@@/out/d%d%s\" %s);", i, g.suffix(), g.format(true))
		if g.chance(10) {
			file = "channel { " + "rewrite { " + g.rewriting() + " }; destination { " + file + " }; };"
		}
		fmt.Fprintf(&b, "destination d%d { %s };\n", i, file)
	}
	servers := []string{"network", "network"}
	flags := []string{"", "", "flags(no-multi-line)"}
	if g.dated {
		servers[1] = "syslog"
		flags = append(flags, "flags(syslog-protocol)", "flags(syslog-protocol, no-multi-line)")
	}
	for i, driver := range servers {
		fmt.Fprintf(&b, "destination d%d { %s(\"127.0.0.1\" port(@@PORT%d@@) %s %s); };\n", i+6, driver, i+3, g.format(!g.dated), pick(g, flags))
	}
	return b.String()
}

const namedTemplates = `template t_line { template("$PRI $HOST $MSGHDR$MSG"); };
template t_escaped { template("<$MSG>"); template-escape(yes); };
`

// suffix makes many files of one destination.
func (g *generator) suffix() string {
	if !g.chance(15) {
		return ""
	}
	suffixes := []string{"-$FACILITY", "-$LEVEL-${k.k}", "-$(sanitize $PROGRAM)", "-${nothing:-none}"}
	if g.dated {
		suffixes = append(suffixes, "-$YEAR", "-$S_HOUR")
	}
	return pick(g, suffixes)
}

// format is how a destination writes.
func (g *generator) format(template bool) string {
	var parts []string
	known := templates
	if g.dated {
		known = slices.Concat(known, datedTemplates)
		for range g.IntN(3) {
			parts = append(parts, pick(g, datedOptions))
		}
	}
	if template || g.chance(30) {
		text := pick(g, known)
		if g.chance(30) {
			text = templates[0]
		}
		parts = append(parts, "template('"+text+"\n')")
	}
	if g.chance(10) {
		parts = append(parts, "template-escape(yes)")
	}
	if g.chance(5) {
		parts = append(parts, "truncate-size(30)")
	}
	return strings.Join(parts, " ")
}

// parsers may refuse a message.
var parsers = []string{
	`csv-parser(columns("c1", "c2", "c3") delimiters(" ") flags(drop-invalid))`,
	`csv-parser(columns("c1", "c2", "c3") delimiters(" ") flags(greedy))`,
	`csv-parser(columns("c1", "c2", "c3") delimiters(chars("|,") strings("::")) quote-pairs('""[]') flags(escape-double-char, strip-whitespace))`,
	`csv-parser(columns("c1", "c2") prefix("k.") template("$HOST $PROGRAM") null("c-c"))`,
	`kv-parser(prefix("k."))`, `kv-parser(prefix("k.") value-separator(":") pair-separator(";"))`, `kv-parser(prefix("k.") extract-stray-words-into("k.stray"))`,
	`json-parser(prefix("j."))`, `json-parser(prefix("j.") extract-prefix("in"))`, `json-parser(prefix("j.") marker("@json"))`,
	`regexp-parser(patterns("(?<word>[a-z]+)"))`, `regexp-parser(prefix("k.") patterns("^(?<k>two) (?<o>.*)", "(?<k>one)"))`, `regexp-parser(template("$HOST") patterns("host-(?<word>.)"))`,
	`syslog-parser(template("<13>Oct 11 22:14:15 inner prog[7]: $MSG"))`,
	`date-parser(format("%Y-%m-%dT%H:%M:%S") template("2024-02-29T12:13:14"))`, `date-parser(format("%s") template("$MSG"))`,
	`date-parser(format("%d/%b/%Y:%H:%M:%S %z") template("11/Oct/2023:22:14:15 +0200") time-stamp(recvd))`,
}

// rewrites let every message through.
func (g *generator) rewriting() string {
	g.rewrites++
	text := pick(g, []string{
		fmt.Sprintf(`set("$MSG+%d" value("MESSAGE")`, g.rewrites), `set("x$HOST" value("HOST")`, `set("v$PID" value("k.k")`, `set("$(uppercase $PROGRAM)" value("PROGRAM")`, `set("" value("PID")`,
		`subst("o" "0" value("MESSAGE") flags(global)`, `subst("one" "$HOST" value("MESSAGE") type(string)`, `subst("(\\d+)" "<$1>" value("MESSAGE") type(pcre) flags(global, store-matches)`,
		`subst("O" "" value("MESSAGE") flags(ignore-case)`,
		`set-severity("crit"`, `set-severity("$(% $PRI 8)"`, `set-facility("mail"`, `set-facility("${k.k}"`, `set-pri("33"`,
		`set-tag("tagged"`, `clear-tag("two"`, `unset(value("PROGRAM")`, `unset(value("k.k")`, `set-matches("a,b c,$PROGRAM"`, `set-matches("$(explode ' ' $MSG)"`, `unset-matches(`, `set("$*" value("k.o")`, `set("r" value("RAWMSG")`, `rename("k.k" "k.o"`, `groupset("($_)" values("k.*" "HOST")`, `groupunset(values("j.*" "c?")`,
	})
	if g.chance(25) {
		condition := pick(g, expressions)
		for strings.HasPrefix(text, "rename(") && strings.Contains(condition, "filter(") { // there it is never true
			condition = pick(g, expressions)
		}
		text += " condition(" + condition + ")"
	}
	return text + ");"
}

// messages are what a source gets; a dated one without the flag syslog-protocol takes no RFC 5424.
func (g *generator) messages(rfc5424 bool) string {
	var b strings.Builder
	for range 14 {
		if !g.dated && g.chance(25) {
			b.WriteString(pick(g, oddities))
			continue
		}
		b.WriteString(g.message(rfc5424) + pick(g, []string{"\n", "\n", "\n", "\n", "\r\n"}))
	}
	return b.String()
}

var texts = []string{
	"one", "two 22", "TWO x y", `{"a":"b"}`, `{"a":"x","n":12,"in":{"a":1.5,"l":["p","q"]}}`, `@json {"a":"é"}`, "k=v o=1", `k="v w" stray o=`, "k:1; o:2", `a|"b|c",[d],e::f`, "", "caf\xc3\xa9",
	"\ttabs\tinside ", "1700000000", "two 'quoted' \\ \"text\"", "BOM \xef\xbb\xbf", "a,b,,c", "carriage\rreturn",
}

func (g *generator) message(rfc5424 bool) string {
	host, program, text := pick(g, []string{"host-a", "host-B", "c-c"}), pick(g, []string{"a", "b", "c[1]"}), pick(g, texts)
	day := time.Now().UTC().AddDate(0, 0, -3)
	if !rfc5424 || g.chance(50) {
		stamp := pick(g, []string{day.Format("Jan _2") + " 22:14:15", day.Format("Jan _2") + " 02:04:05.678", "2024-05-06T07:08:09+02:00", "2024-02-29T23:59:59.123456Z"})
		return fmt.Sprintf("<%d>%s %s %s: %s", g.IntN(192), stamp, host, program, text)
	}
	sdata := pick(g, []string{"-", `[ex@1 a="b"]`, `[ex@1 a="q\"\]" c=""][other@2 x="1"]`, `[timeQuality tzKnown="1"]`})
	stamp := pick(g, []string{"2024-05-06T07:08:09+02:00", "2024-02-29T23:59:59.123456Z"})
	return fmt.Sprintf("<%d>1 %s %s %s %s %s %s %s", g.IntN(192), stamp, host, pick(g, []string{"a", "b", "c"}), pick(g, []string{"-", "77"}), pick(g, []string{"-", "ID1"}), sdata, text)
}

// oddities are no proper messages. None makes a message about a parse error: that has the number of a process.
var oddities = []string{
	"no priority at all\n", "<200>too high\n", "<191>Oct 11 22:14:15 host-a a: edge\n", "<999>high\n", "<>\n", "<13\n", "<13>\n", "\n", "\r\n", "   blanks\n", "\t\n",
	"<13>Oct 11 22:14:15 host-a a: nul\x00inside\n", "<13>Oct 11 22:14:15 host-a a: bad\xff\xfe\xc3bytes\n", "<13>Oct 11 22:14:15 bad\xffhost a: text\n",
	"<13>Oct 11 22:14:15 host-a " + "b[1]: " + "long and longer, " + "which is a text of many words so that it does not fit into a limit, " + "one two three, and one two three, and one two three, and one two three, and the rest\n",
	"<13>Oct 11 22:14:15\n", "<13>Oct 11 22:14:15 host-a\n", "<13>Oct 99 22:14:15 host-a a: day\n", "<13>host-a a: no stamp\n", "<13>a: no host\n", "<13>a[2]: one\n",
	"<13>1 - - - - - -\n", "<13>2 2024-05-06T07:08:09Z host-a a - - - v2\n",
	"<13>last message repeated 2 times\n", "<13>Oct 11 22:14:15 last message repeated 3 times\n", "13>text\n", "<013>text\n",
}
