package main

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"kad/pkg/cli"
	"kad/pkg/conf"
)

// A routeTest is one case of a file of routing tests: a message, and what each destination gets of it. Destinations that
// are not named must get nothing.
type routeTest struct {
	Source  string              `toml:"source"` // "" is the first one
	Peer    string              `toml:"peer"`   // "" is 127.0.0.1
	Message string              `toml:"message"`
	Expect  map[string][]string `toml:"expect"` // by destination, without the newline at the end
}

// testRoutes runs the cases of a file and fails if one differs.
func testRoutes(c *cli.Context) error {
	if c.Args().Len() != 1 {
		return cli.Usagef("test takes one file of cases, found %d", c.Args().Len())
	}
	cfg, err := load(c)
	if err != nil {
		return err
	}
	var tests struct {
		Case map[string]routeTest `toml:"case"`
	}
	file, err := conf.Load(c.Args().First(), &tests)
	if err != nil {
		return cli.Exit(cli.BadConfig, err)
	}
	failed := 0
	for _, name := range slices.Sorted(maps.Keys(tests.Case)) {
		test := tests.Case[name]
		path := "case." + conf.Key(name)
		in, err := input(cfg, test.Source)
		if err != nil {
			file.Errorf(path+".source", "%v", err)
			continue
		}
		peer := netip.AddrFrom4([4]byte{127, 0, 0, 1})
		if test.Peer != "" {
			if peer, err = netip.ParseAddr(test.Peer); err != nil {
				file.Errorf(path+".peer", "%q is not an address", test.Peer)
				continue
			}
		}
		got := received(in, []byte(test.Message), peer)
		differences := compareRoutes(test.Expect, got)
		if len(differences) == 0 {
			fmt.Fprintf(c.App.Writer, "ok   %s\n", name)
			continue
		}
		failed++
		fmt.Fprintf(c.App.Writer, "FAIL %s\n", name)
		for _, d := range differences {
			fmt.Fprintf(c.App.Writer, "     %s\n", d)
		}
	}
	if err := file.Err(); err != nil {
		return cli.Exit(cli.BadConfig, err)
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d cases differ", failed, len(tests.Case))
	}
	return nil
}

// compareRoutes tells what differs, by destination.
func compareRoutes(want, got map[string][]string) (differences []string) {
	names := map[string]bool{}
	for name := range want {
		names[name] = true
	}
	for name := range got {
		names[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if !slices.Equal(want[name], got[name]) {
			differences = append(differences, fmt.Sprintf("destination %s got %q, want %q", name, got[name], want[name]))
		}
	}
	return differences
}
