package logpath

import _ "github.com/example/left-pad"
