// Package keepalived reads what keepalived says and writes: its data dumps (text and
// JSON), its configuration as far as roles, addresses and trackers go, the arguments of
// its notify scripts and the lines of its notify FIFO; and it finds running keepalived
// processes and asks them for a fresh dump.
//
// Formats are those of keepalived 1.3 to 2.4 (vrrp/vrrp_data.c, vrrp/vrrp_print.c,
// vrrp/vrrp_json.c, vrrp/vrrp_notify.c, lib/parser.c of its sources). Text from outside
// never makes a function of this package panic, and no password leaves it.
package keepalived
