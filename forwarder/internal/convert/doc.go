// Package convert turns a syslog-ng configuration into a forwarder.toml that does the same.
//
// A lexer reads syslog-ng.conf and all it includes into tokens, with @define, back-ticks and blocks already replaced; a
// parser makes statements of them; the translation makes a TOML document of the statements, in their order, with their
// names and comments. Whatever has no counterpart is a [Diagnostic] with its place: an error if messages would go another
// way, a warning if syslog-ng ignores it too, a note if forwarder needs no such option.
package convert
