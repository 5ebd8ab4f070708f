package vip

import _ "github.com/vishvananda/netlink"

import _ "kad/pkg/keepalived"
