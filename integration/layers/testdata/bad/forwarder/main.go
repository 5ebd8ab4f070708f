package main

import _ "github.com/vishvananda/netlink"

import _ "kad/pkg/cli"

import _ "kad/forwarder/internal/util"
