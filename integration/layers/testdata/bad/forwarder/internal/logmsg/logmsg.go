package logmsg

import _ "kad/forwarder/internal/logpath"
