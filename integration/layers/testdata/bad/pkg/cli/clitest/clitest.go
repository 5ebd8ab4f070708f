package clitest

import _ "testing"

import _ "kad/pkg/cli"
