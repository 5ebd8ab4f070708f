package main

import _ "kad/kad-notify/internal/bgp"
