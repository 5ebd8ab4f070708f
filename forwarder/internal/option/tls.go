package option

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
)

// TLSVersion reads tls.min_version; empty is 1.2.
func TLSVersion(name string) (uint16, error) {
	switch name {
	case "", "1.2":
		return tls.VersionTLS12, nil
	case "1.3":
		return tls.VersionTLS13, nil
	}
	return 0, Errorf("tls.min_version", "version %q is not known, want 1.2 or 1.3", name)
}

// LoadCAs reads certificates from a file, or else from the files of a directory; nil if both are empty.
func LoadCAs(file, dir string) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	switch {
	case file != "":
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, Errorf("tls.ca_file", "%w", err)
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, Errorf("tls.ca_file", "%s has no certificate", file)
		}
	case dir != "":
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, Errorf("tls.ca_dir", "%w", err)
		}
		found := false
		for _, entry := range entries {
			pem, err := os.ReadFile(filepath.Join(dir, entry.Name()))
			found = err == nil && pool.AppendCertsFromPEM(pem) || found // others, a README, may lie there too
		}
		if !found {
			return nil, Errorf("tls.ca_dir", "%s has no certificate", dir)
		}
	default:
		return nil, nil
	}
	return pool, nil
}
