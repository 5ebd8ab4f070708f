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
	switch a := a.(type) {
	case *Unix:
		b, ok := b.(*Unix)
		return ok && a.Path == b.Path
	case *Network:
		b, ok := b.(*Network)
		if !ok || a.Port != b.Port || (a.Transport == "udp") != (b.Transport == "udp") || a.ReusePort && b.ReusePort {
			return false
		}
		return a.IP == b.IP && a.IPProtocol == b.IPProtocol || a.isWildcard() || b.isWildcard()
	}
	return false
}

// isWildcard tells whether the driver listens at all addresses.
func (n *Network) isWildcard() bool { return n.IP == "" || n.IP == "0.0.0.0" || n.IP == "::" }
