package template

import (
	"crypto/md5"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"strconv"

	"kad/forwarder/internal/logmsg"
)

var hashes = map[string]func() hash.Hash{"md5": md5.New, "sha1": sha1.New, "sha256": sha256.New, "hash": sha256.New, "sha512": sha512.New}

// parseHash makes the function of a hash: the hexadecimal digits of that of all arguments, at most --length of them.
func parseHash(name string) func(t *Template, words []string) (part, error) {
	return func(t *Template, words []string) (part, error) {
		size := hashes[name]().Size() * 2
		if len(words) > 1 && (words[0] == "--length" || words[0] == "-l") {
			n, err := strconv.Atoi(words[1])
			if err != nil || n < 0 {
				return nil, fmt.Errorf("$(%s %s): %q is not a number of digits", name, words[0], words[1])
			}
			if n > 0 {
				size = min(n, size)
			}
			words = words[2:]
		}
		if len(words) == 0 {
			return nil, fmt.Errorf("$(%s) has no arguments", name)
		}
		args, err := parseArgs(t, words)
		return macro(func(dst []byte, m *logmsg.Message, c *Context) []byte {
			h := hashes[name]()
			for _, a := range args {
				h.Write(a.append(nil, m, c))
			}
			return append(dst, hex.EncodeToString(h.Sum(nil))[:size]...)
		}), err
	}
}

// appendUUID appends a random UUID (RFC 9562, version 4).
func appendUUID(dst []byte) []byte {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Appendf(dst, "%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
