package main

import _ "testing"

import _ "kad/pkg/vip"
