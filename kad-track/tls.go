package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
)

// checkTLS returns a probe that passes when the server at address answers a ClientHello with
// its ServerHello: a process is there and finds protocol, cipher and certificate to go on with.
// The handshake then ends, so no client certificate is asked for, and the server's is not
// judged. It is our own, because crypto/tls adds 0.3 ms to the 2 of every start of kad-track,
// and 2.4 MiB to its 4.
func checkTLS(address string, _ setting) (probe, error) {
	if err := validAddress(address); err != nil {
		return nil, err
	}
	return func(ctx context.Context) (int, error) {
		conn, err := dial(ctx, "tcp", address)
		if err != nil {
			return 0, err
		}
		defer conn.Close()
		host, _, _ := net.SplitHostPort(address)
		if _, err := conn.Write(clientHello(host)); err != nil {
			return 0, cause(err)
		}
		err = readServerHello(conn)
		if timedOut(err) {
			err = errors.New("connected, but no answer to the TLS handshake")
		}
		return 0, cause(err)
	}, nil
}

// Numbers of RFC 8446 (TLS 1.3), sections 4, 4.2, 5.1 and 6.
const (
	recordAlert     = 21
	recordHandshake = 22

	typeClientHello = 1
	typeServerHello = 2

	extServerName          = 0
	extSupportedGroups     = 10
	extPointFormats        = 11
	extSignatureAlgorithms = 13
	extSupportedVersions   = 43
	extPSKModes            = 45
	extKeyShare            = 51

	versionTLS12 = 0x0303
	versionTLS13 = 0x0304
	x25519       = 0x001d
)

// clientHello returns the record that opens a handshake (RFC 8446, section 4.1.2, with what RFC
// 5246 servers need), for TLS 1.2 and 1.3. The key share is any number at all: it is a valid
// public key of X25519, and nobody will use the secret.
func clientHello(host string) []byte {
	var ext []byte
	if _, err := netip.ParseAddr(host); err != nil && host != "" {
		name := vector(2, []byte(host))
		ext = extension(ext, extServerName, vector(2, append([]byte{0}, name...)))
	}
	ext = extension(ext, extSupportedVersions, vector(1, words(versionTLS13, versionTLS12)))
	ext = extension(ext, extSupportedGroups, vector(2, words(x25519, 0x0017, 0x0018, 0x0019))) // NIST P-256 to P-521
	ext = extension(ext, extPointFormats, []byte{1, 0})
	ext = extension(ext, extSignatureAlgorithms, vector(2, words(
		0x0403, 0x0503, 0x0603, // ECDSA with SHA-256, 384, 512
		0x0807, 0x0808, // Ed25519, Ed448
		0x0804, 0x0805, 0x0806, 0x0809, 0x080a, 0x080b, // RSA-PSS
		0x0401, 0x0501, 0x0601, 0x0201))) // RSA PKCS #1, the last with SHA-1
	ext = extension(ext, extPSKModes, []byte{1, 1})
	ext = extension(ext, extKeyShare, vector(2, append(words(x25519), vector(2, random(32))...)))

	hello := words(versionTLS12)
	hello = append(hello, random(32)...)
	hello = append(hello, vector(1, random(32))...) // session ID
	hello = append(hello, vector(2, words(
		0x1301, 0x1302, 0x1303, // TLS 1.3
		0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, // ECDHE with AES-GCM and ChaCha20-Poly1305
		0x009e, 0x009f, 0xc009, 0xc013, 0xc00a, 0xc014, // DHE; ECDHE with AES-CBC
		0x009c, 0x009d, 0x002f, 0x0035))...) // RSA
	hello = append(hello, 1, 0) // no compression
	hello = append(hello, vector(2, ext)...)

	handshake := append([]byte{typeClientHello}, vector(3, hello)...)
	return append([]byte{recordHandshake, 3, 1}, vector(2, handshake)...)
}

// vector returns b behind its length in the given number of bytes (RFC 8446, section 3.4).
func vector(lengthBytes int, b []byte) []byte {
	length := binary.BigEndian.AppendUint32(nil, uint32(len(b)))
	return append(length[4-lengthBytes:], b...)
}

func extension(b []byte, kind uint16, data []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, kind)
	return append(b, vector(2, data)...)
}

func words(list ...uint16) []byte {
	var b []byte
	for _, w := range list {
		b = binary.BigEndian.AppendUint16(b, w)
	}
	return b
}

func random(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return b
}

// readServerHello reads the head of the server's first record and its first bytes.
func readServerHello(r io.Reader) error {
	head := make([]byte, 7) // type, version, length of the record; then of its content
	n, err := io.ReadFull(r, head)
	if n == 0 && err != nil {
		if err == io.EOF {
			err = errors.New("closed without an answer to the TLS handshake")
		}
		return err
	}
	switch {
	case head[0] == recordHandshake && head[1] == 3 && head[5] == typeServerHello:
		return nil
	case head[0] == recordAlert && head[1] == 3:
		return fmt.Errorf("refused the TLS handshake: alert %d%s", head[6], alertName(head[6]))
	}
	return fmt.Errorf("does not speak TLS: it says %q", bytes.TrimRight(head[:n], "\x00"))
}

func alertName(code byte) string {
	name, ok := map[byte]string{
		10:  "unexpected_message",
		40:  "handshake_failure",
		70:  "protocol_version",
		71:  "insufficient_security",
		80:  "internal_error",
		112: "unrecognized_name",
	}[code]
	if !ok {
		return ""
	}
	return " (" + name + ")"
}
