package main

import (
	"strings"
	"testing"
	"time"

	"kad/pkg/cli/clitest"
)

// The pages show what the tool prints.
func TestScreens(t *testing.T) {
	normal := capturedView(t, "2.2.7/a-normal-loghost01")
	normal.Keepalived[0].PIDs = []int{42906, 42908}
	normal.Forwarder = &forwarderView{Health: forwarderOK}
	down01, down02 := capturedView(t, "2.2.7/b-down2-loghost01"), capturedView(t, "2.2.7/b-down2-loghost02")
	down01.Forwarder = &forwarderView{Health: forwarderOK}
	down02.Forwarder = &forwarderView{forwarderFails, "source s_net hangs in a log path"}
	cluster := newClusterView(time.Time{}, []answer{{Host: "loghost01", View: down01}, {Host: "loghost02", View: down02}})
	table, wide := options{format: "table"}, options{format: "wide"}
	for _, c := range []struct {
		page, command string
		view          view
		options       options
	}{
		{"../README.md", "kad-status", normal, table},
		{"../README.md", "kad-status loghost01 loghost02", cluster, table},
		{"README.md", "kad-status", normal, table},
		{"README.md", "kad-status -o wide", normal, wide},
		{"README.md", "kad-status loghost01 loghost02", cluster, table},
	} {
		var text strings.Builder
		if err := c.view.write(&text, c.options); err != nil {
			t.Fatal(err)
		}
		for _, line := range c.view.lines() {
			text.WriteString("kad-status: " + line + "\n")
		}
		clitest.Screen(t, c.page, c.command, text.String(), *update)
	}
}
