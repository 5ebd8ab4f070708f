package bgp

import _ "google.golang.org/grpc"

import _ "kad/pkg/cli"
