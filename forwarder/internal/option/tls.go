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

// LoadCAs reads certificates from a file and from the files of a directory; nil if both are empty.
func LoadCAs(file, dir string) (*x509.CertPool, error) {
	if file == "" && dir == "" {
		return nil, nil
	}
	pool := x509.NewCertPool()
	key, files := "tls.ca_file", []string{file}
	if file == "" {
		key = "tls.ca_dir"
		files, _ = filepath.Glob(filepath.Join(dir, "*")) // the pattern is good
	}
	for _, name := range files {
		pem, err := os.ReadFile(name)
		if err != nil {
			return nil, Errorf(key, "%w", err)
		}
		if !pool.AppendCertsFromPEM(pem) && file != "" {
			return nil, Errorf(key, "%s has no certificate", name)
		}
	}
	return pool, nil
}
