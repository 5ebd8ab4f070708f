package lab

import _ "kad/pkg/vip"
