package cli_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"kad/pkg/cli"
	"kad/pkg/cli/clitest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestMain is a whole tool when a test runs it as one.
func TestMain(m *testing.M) {
	if os.Getenv("CLI_TEST_AS_TOOL") != "" {
		os.Exit(cli.Run(context.Background(), newRelay(), os.Args, os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// newRelay returns a tool with every kind of flag and verb. Its actions print what they got.
func newRelay() *cli.App {
	return &cli.App{
		Name:      "relay",
		Usage:     "carry parcels between two towns, in order, and say afterwards which of them arrived",
		ArgsUsage: "[TOWN...]",
		Description: "Parcels are counted when they leave and when they arrive. What is lost on the way is named,\n" +
			"with its number and its last known place.\n\nFor example:\n\n  relay --via bridge north",
		Flags: []cli.Flag{
			cli.OutputFlag("table", "wide", "json"),
			&cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, Usage: "say more; twice for even more"},
			&cli.DurationFlag{Name: "timeout", Aliases: []string{"t"}, Value: 2 * time.Second, Usage: "give up after this `TIME`"},
			&cli.IntFlag{Name: "weight", Usage: "take parcels up to `KG` kilograms, of whatever size they may be and wherever they go to"},
			&cli.BoolFlag{Name: "secret", Hidden: true},
			&cli.StringSliceFlag{Name: "via", Category: "Roads", Usage: "pass `PLACE` on the way (repeatable)"},
			&cli.OptionalFlag{
				GenericFlag: cli.GenericFlag{Name: "ferry", Category: "Roads", Usage: "cross the water at `PIER`", Value: &piers{}},
				Bare:        "old-harbour",
			},
		},
		Action: show,
		Commands: []*cli.Command{
			{Name: "check", Usage: "look for holes in the road", ArgsUsage: "MAP", Action: show,
				Flags: []cli.Flag{&cli.StringFlag{Name: "since", Required: true, Usage: "only holes after `DAY`"}}},
			{Name: "queue", Usage: "parcels that wait", Subcommands: []*cli.Command{
				{Name: "ls", Usage: "list them", Action: show},
				{Name: "drop", Usage: "throw one away", ArgsUsage: "NUMBER", Action: show,
					Flags: []cli.Flag{&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write it to `FILE` before"}}},
			}},
			{Name: "fail", Usage: "end in one of many ways", ArgsUsage: "HOW", Action: fail},
		},
	}
}

// piers are the values of --ferry, in their order.
type piers []string

func (p *piers) Set(pier string) error {
	if pier == "" {
		return errors.New("a pier has a name")
	}
	*p = append(*p, pier)
	return nil
}

func (p *piers) String() string { return strings.Join(*p, " ") }

func show(c *cli.Context) error {
	_, err := fmt.Fprintf(c.App.Writer, "%s %q o=%s v=%d t=%s weight=%d via=%q ferry=%q since=%s\n",
		c.Command.Name, c.Args().Slice(), c.String("o"), c.Count("v"), c.Duration("t"), c.Int("weight"),
		c.StringSlice("via"), *c.Generic("ferry").(*piers), c.String("since"))
	return err
}

func TestInOrder(t *testing.T) {
	app := newRelay()
	var got []cli.Given
	app.Commands[0].Action = func(c *cli.Context) error {
		got = cli.InOrder(c)
		return nil
	}
	app.Flags = append(app.Flags, &cli.GenericFlag{Name: "stamp", Aliases: []string{"s"}})
	args := strings.Fields("relay --stamp=1 -v --ferry check --stamp 2 map -o json --ferry=x --since=now -s 3")
	if code := cli.Run(t.Context(), app, args, nil, io.Discard, io.Discard); code != cli.OK {
		t.Fatalf("code %d", code)
	}
	want := []cli.Given{{"stamp", "1"}, {"verbose", "true"}, {"ferry", "old-harbour"}, {"stamp", "2"}, {"output", "json"},
		{"ferry", "x"}, {"since", "now"}, {"stamp", "3"}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func fail(c *cli.Context) error {
	lost := errors.New("parcel 7: lost at the bridge")
	switch c.Args().First() {
	case "plain":
		return lost
	case "coded":
		return fmt.Errorf("north: %w", cli.Exit(cli.Unreachable, lost))
	case "silent":
		return cli.Exit(cli.Failure, nil)
	case "hint":
		return cli.Exit(cli.BadConfig, cli.Hint(lost, "ask the bridge keeper"))
	case "many":
		return errors.Join(lost, errors.New("parcel 8: wet"))
	}
	return cli.Usagef("no way to fail named %q", c.Args().First())
}

const try = "Try 'relay --help'.\n"

func TestRun(t *testing.T) {
	tests := []struct {
		name   string
		args   string
		code   int
		stdout string
		stderr string
	}{
		{name: "nothing", args: "",
			stdout: `relay [] o=table v=0 t=2s weight=0 via=[] ferry=[] since=`},
		{name: "flags around arguments", args: "-vv north --timeout 5s south -o json",
			stdout: `relay ["north" "south"] o=json v=2 t=5s weight=0 via=[] ferry=[] since=`},
		{name: "forms of a value", args: "--output=wide -t3s --weight -4",
			stdout: `relay [] o=wide v=0 t=3s weight=-4 via=[] ferry=[] since=`},
		{name: "cluster of short flags", args: "-vvo=json",
			stdout: `relay [] o=json v=2 t=2s weight=0 via=[] ferry=[] since=`},
		{name: "last one wins", args: "-o json --output wide --verbose=false",
			stdout: `relay [] o=wide v=1 t=2s weight=0 via=[] ferry=[] since=`},
		{name: "repeated, commas stay", args: "--via a,b --via=c",
			stdout: `relay [] o=table v=0 t=2s weight=0 via=["a,b" "c"] ferry=[] since=`},
		{name: "optional value only with =", args: "--ferry north --ferry=pier-2",
			stdout: `relay ["north"] o=table v=0 t=2s weight=0 via=[] ferry=["old-harbour" "pier-2"] since=`},
		{name: "two dashes end flags", args: "-- -v --output",
			stdout: `relay ["-v" "--output"] o=table v=0 t=2s weight=0 via=[] ferry=[] since=`},
		{name: "two dashes end verbs", args: "-- queue",
			stdout: `relay ["queue"] o=table v=0 t=2s weight=0 via=[] ferry=[] since=`},
		{name: "one dash is an argument", args: "-",
			stdout: `relay ["-"] o=table v=0 t=2s weight=0 via=[] ferry=[] since=`},
		{name: "no verb after an argument", args: "north queue",
			stdout: `relay ["north" "queue"] o=table v=0 t=2s weight=0 via=[] ferry=[] since=`},
		{name: "verb", args: "check --since monday map -o wide",
			stdout: `check ["map"] o=wide v=0 t=2s weight=0 via=[] ferry=[] since=monday`},
		{name: "global flags before verbs", args: "-v queue -t 1s ls",
			stdout: `ls [] o=table v=1 t=1s weight=0 via=[] ferry=[] since=`},
		{name: "flag of a verb hides the global one", args: "-o json queue drop 3 -o file",
			stdout: `drop ["3"] o=file v=0 t=2s weight=0 via=[] ferry=[] since=`},

		{name: "trap 1: flag in place of a value", args: "--output --generate-bash-completion", code: 2,
			stderr: `relay: --output: unknown value "--generate-bash-completion", want table, wide or json` + "\n" + try},
		{name: "trap 1: urfave's hidden flag", args: "--generate-bash-completion", code: 2,
			stderr: `relay: unknown flag "--generate-bash-completion"` + "\n" + try},
		{name: "trap 2: unknown flag after an argument", args: "north --verbsoe", code: 2,
			stderr: `relay: unknown flag "--verbsoe" (did you mean "--verbose"?)` + "\n" + try},
		{name: "trap 3: unknown verb", args: "queue lss", code: 2,
			stderr: `relay: unknown verb "lss" (did you mean "ls"?)` + "\n" + try},
		{name: "trap 5: -v is not the version", args: "-v",
			stdout: `relay [] o=table v=1 t=2s weight=0 via=[] ferry=[] since=`},

		{name: "unknown short flag", args: "-x", code: 2,
			stderr: `relay: unknown flag "-x"` + "\n" + try},
		{name: "unknown short flag in a cluster", args: "-vx", code: 2,
			stderr: `relay: unknown flag "-x"` + "\n" + try},
		{name: "one dash too few", args: "-timeout 5s", code: 2,
			stderr: `relay: unknown flag "-timeout" (did you mean "--timeout"?)` + "\n" + try},
		{name: "hidden flag is no suggestion", args: "--secre", code: 2,
			stderr: `relay: unknown flag "--secre"` + "\n" + try},
		{name: "missing value", args: "--timeout", code: 2,
			stderr: "relay: --timeout needs a value: --timeout TIME\n" + try},
		{name: "known flag in place of a value", args: "--via -v", code: 2,
			stderr: "relay: --via needs a value: --via PLACE\n" + try},
		{name: "bad duration", args: "--timeout 5", code: 2,
			stderr: `relay: --timeout: "5" is not a duration such as 500ms or 2s` + "\n" + try},
		{name: "bad number", args: "--weight=2t", code: 2,
			stderr: `relay: --weight: "2t" is not a whole number` + "\n" + try},
		{name: "bad bool", args: "--verbose=maybe", code: 2,
			stderr: `relay: --verbose: "maybe" is neither true nor false` + "\n" + try},
		{name: "value that the tool refuses", args: "--ferry=", code: 2,
			stderr: `relay: --ferry: "": a pier has a name` + "\n" + try},
		{name: "bad enumerated value", args: "-o tabel", code: 2,
			stderr: `relay: -o: unknown value "tabel" (did you mean "table"?), want table, wide or json` + "\n" + try},
		{name: "missing verb", args: "queue", code: 2,
			stderr: "relay: a verb is missing: ls or drop\n" + try},
		{name: "argument too many", args: "queue ls all", code: 2,
			stderr: `relay: unexpected argument "all"` + "\n" + try},
		{name: "missing flag", args: "check map", code: 2,
			stderr: "relay: --since DAY is missing\n" + try},
		{name: "control characters", args: "-\x1b[2J", code: 2,
			stderr: `relay: unknown flag "-\x1b[2J"` + "\n" + try},

		{name: "plain error", args: "fail plain", code: 1,
			stderr: "relay: parcel 7: lost at the bridge\n"},
		{name: "error with a code", args: "fail coded", code: 69,
			stderr: "relay: north: parcel 7: lost at the bridge\n"},
		{name: "code without error", args: "fail silent", code: 1},
		{name: "error with a hint", args: "fail hint", code: 78,
			stderr: "relay: parcel 7: lost at the bridge\nrelay: hint: ask the bridge keeper\n"},
		{name: "many errors", args: "fail many", code: 1,
			stderr: "relay: parcel 7: lost at the bridge\nrelay: parcel 8: wet\n"},
		{name: "usage error of an action", args: "fail loud", code: 2,
			stderr: `relay: no way to fail named "loud"` + "\n" + try},

		{name: "version", args: "--version", stdout: "relay devel"},
		{name: "version, short, after a verb", args: "queue ls -V", stdout: "relay devel"},
		{name: "help of an unknown verb", args: "help chekc", code: 2,
			stderr: `relay: unknown verb "chekc" (did you mean "check"?)` + "\n" + try},
		{name: "completion for no shell", args: "completion", code: 2,
			stderr: "relay: completion: name one shell: bash, zsh or fish\n" + try},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, stdout, stderr := clitest.Run(t, newRelay, strings.Fields(tt.args)...)
			if tt.stdout != "" {
				tt.stdout += "\n"
			}
			if code != tt.code || stdout != tt.stdout || stderr != tt.stderr {
				t.Errorf("relay %s\ngot  %d %q %q\nwant %d %q %q", tt.args, code, stdout, stderr, tt.code, tt.stdout, tt.stderr)
			}
		})
	}
}

func TestHelp(t *testing.T) {
	var got strings.Builder
	for _, args := range []string{"--help", "queue -h", "help queue drop", "completion --help"} {
		code, stdout, stderr := clitest.Run(t, newRelay, strings.Fields(args)...)
		if code != cli.OK || stderr != "" {
			t.Errorf("relay %s: code %d, stderr %q", args, code, stderr)
		}
		fmt.Fprintf(&got, "$ relay %s\n%s\n", args, stdout)
	}
	golden(t, "testdata/help.golden", got.String())
	for line := range strings.SplitSeq(got.String(), "\n") {
		if len([]rune(line)) > 80 {
			t.Errorf("longer than 80 columns: %q", line)
		}
	}
}

func TestOptions(t *testing.T) {
	golden(t, "testdata/options.golden.md", cli.Options(newRelay()))
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("not as in %s; go test -update rewrites it, read the diff. Got:\n%s", file, got)
	}
}

func TestReadme(t *testing.T) {
	const text = "# relay(8)\n\n<!-- options: written by go test -update -->\nyesterday\n<!-- end of options -->\n\n## Files\n"
	once, err := cli.Readme(newRelay(), text)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(once, "yesterday") || !strings.HasPrefix(once, "# relay(8)\n") || !strings.HasSuffix(once, "\n\n## Files\n") {
		t.Errorf("got\n%s", once)
	}
	if twice, err := cli.Readme(newRelay(), once); err != nil || twice != once {
		t.Errorf("a second time: %v, got\n%s", err, twice)
	}
	if _, err := cli.Readme(newRelay(), "# relay(8)\n"); err == nil {
		t.Error("no error without the marker lines")
	}
}

func TestBashCompletion(t *testing.T) {
	_, script, _ := clitest.Run(t, newRelay, "completion", "bash")
	tests := []struct {
		name  string
		words []string // as readline splits them
		want  string
	}{
		{"verbs", []string{""}, "check queue fail completion help"},
		{"begun verb", []string{"ch"}, "check"},
		{"inner verbs", []string{"queue", ""}, "ls drop"},
		{"verbs after a flag", []string{"-o", "json", "queue", ""}, "ls drop"},
		{"value that looks like a verb", []string{"--via", "queue", ""}, "check queue fail completion help"},
		{"flags", []string{"--ve"}, "--verbose --version"},
		{"flags of the verb and of the tool", []string{"check", "--"},
			"--output --verbose --timeout --weight --via --ferry --color --help --version --since"},
		{"enumerated value", []string{"--output", ""}, "table wide json"},
		{"enumerated value after =", []string{"--output", "=", "j"}, "json"},
		{"nothing yet after =", []string{"--color", "="}, "auto always never"},
		{"another value by the same name", []string{"queue", "drop", "-o", ""}, ""},
		{"free value", []string{"--timeout", ""}, ""},
		{"shells", []string{"completion", ""}, "bash zsh fish"},
		{"help", []string{"help", "q"}, "queue"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bash := exec.Command("bash", append([]string{"--norc", "-c",
				script + `COMP_WORDS=(relay "$@"); COMP_CWORD=$#; ${1+} _relay; echo "${COMPREPLY[*]}"`, "bash"}, tt.words...)...)
			out, err := bash.CombinedOutput()
			if got := strings.TrimSuffix(string(out), "\n"); err != nil || got != tt.want {
				t.Errorf("relay %q: %v\ngot  %s\nwant %s", tt.words, err, got, tt.want)
			}
		})
	}
}

// A reader that goes away ends the tool without a word: by SIGPIPE, or by its code where
// the signal is ignored.
func TestBrokenPipe(t *testing.T) {
	for _, shell := range []string{`"$0" --help`, `trap "" PIPE; "$0" --help`} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		cmd := exec.Command("bash", "-c", shell, os.Args[0])
		cmd.Env = append(os.Environ(), "CLI_TEST_AS_TOOL=1")
		cmd.Stdout = w
		var talk strings.Builder
		cmd.Stderr = &talk
		if err := cmd.Run(); err == nil || talk.String() != "" {
			t.Errorf("%s: %v, stderr %q", shell, err, talk.String())
		}
		w.Close()
	}
}

func TestFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	var talk strings.Builder
	code := cli.Run(t.Context(), newRelay(), []string{"relay", "--help"}, nil, full, &talk)
	if want := "relay: write /dev/full: no space left on device\n"; code != cli.Failure || talk.String() != want {
		t.Errorf("got %d %q, want %d %q", code, talk.String(), cli.Failure, want)
	}
}

func TestColors(t *testing.T) {
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	tests := []struct {
		name    string
		flag    string
		env     map[string]string
		stdout  io.Writer
		colours bool
	}{
		{"terminal", "auto", nil, terminal, true},
		{"no terminal", "auto", nil, &strings.Builder{}, false},
		{"NO_COLOR", "auto", map[string]string{"NO_COLOR": "1"}, terminal, false},
		{"empty NO_COLOR", "auto", map[string]string{"NO_COLOR": ""}, terminal, true},
		{"dumb terminal", "auto", map[string]string{"TERM": "dumb"}, terminal, false},
		{"always", "always", map[string]string{"NO_COLOR": "1"}, &strings.Builder{}, true},
		{"never", "never", nil, terminal, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("NO_COLOR", "")
			t.Setenv("TERM", "xterm")
			for k, v := range tt.env {
				t.Setenv(k, v)
			}
			app := newRelay()
			var got bool
			app.Action = func(c *cli.Context) error { got = cli.Colors(c, c.App.Writer); return nil }
			cli.Run(t.Context(), app, []string{"relay", "--color", tt.flag}, nil, tt.stdout, io.Discard)
			if got != tt.colours {
				t.Errorf("got %v, want %v", got, tt.colours)
			}
		})
	}
}

// Whatever the arguments: a result on stdout or an error on stderr, never both.
func FuzzRun(f *testing.F) {
	for _, args := range []string{"", "-vv north --timeout 5s", "queue drop 3 -o=f", "--ferry=x --", "-o", "help queue", "fail many", "--\x00=", "-=é"} {
		f.Add(args)
	}
	codes := []int{cli.OK, cli.Failure, cli.Usage, cli.Unreachable, cli.BadConfig}
	f.Fuzz(func(t *testing.T, args string) {
		code, stdout, stderr := clitest.Run(t, newRelay, strings.Split(args, " ")...)
		if !slices.Contains(codes, code) || (code == cli.OK) != (stdout != "") || code == cli.OK && stderr != "" {
			t.Errorf("relay %q: code %d, stdout %q, stderr %q", args, code, stdout, stderr)
		}
	})
}
