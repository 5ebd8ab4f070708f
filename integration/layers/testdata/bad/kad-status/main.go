package main

import _ "kad/kad-track"
