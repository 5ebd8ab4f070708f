package source

import (
	"path/filepath"
	"time"

	"kad/forwarder/internal/option"
)

// CheckEnvironment looks at the dates of the certificates.
func (n *Network) CheckEnvironment(report option.Report) {
	if n.TLS != nil {
		option.CheckCertificates("tls.cert_file", n.TLS.CertFile, time.Now(), report)
		option.CheckCertificates("tls.ca_file", n.TLS.CAFile, time.Now(), report)
	}
}

// CheckEnvironment looks at the directory of the socket.
func (u *Unix) CheckEnvironment(report option.Report) {
	if err := option.CheckDirectory(filepath.Dir(u.Path), u.CreateDirs); err != nil {
		report("path", true, err)
	}
}

// Conflicts tells whether two drivers cannot both listen.
func Conflicts(a, b Driver) bool {
	if a, ok := a.(*Unix); ok {
		b, ok := b.(*Unix)
		return ok && a.Path == b.Path
	}
	m, n := listening(a), listening(b)
	if m == nil || n == nil || m.Port != n.Port || (m.Transport == "udp") != (n.Transport == "udp") || m.ReusePort && n.ReusePort {
		return false
	}
	return m.IP == n.IP && m.IPProtocol == n.IPProtocol || m.isWildcard() || n.isWildcard()
}

// isWildcard tells whether the driver listens at all addresses.
func (n *Network) isWildcard() bool { return n.IP == "" || n.IP == "0.0.0.0" || n.IP == "::" }
