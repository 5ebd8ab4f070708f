// Package syslog reads and writes syslog messages.
//
// A [Framer] finds the messages in a byte stream (RFC 6587), a [Parser] takes one message apart (RFC 5424, or RFC 3164 in
// all the forms that devices send), a [Formatter] writes one. Nothing is copied and nothing is allocated: the fields of a
// [Message] are parts of the bytes it was read from.
//
// RFC 3164 describes what was seen, not what is right, so nearly every line is a message: what is not there stays empty,
// and what cannot be told apart is content. Where the RFCs are silent, the package decides as syslog-ng 3.38 does.
package syslog
