package source

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"

	"kad/forwarder/internal/option"
)

// TLS is our certificate and whom we trust.
type TLS struct {
	CertFile   string `toml:"cert_file"`
	KeyFile    string `toml:"key_file"`
	CAFile     string `toml:"ca_file"`
	CADir      string `toml:"ca_dir"`
	PeerVerify string `toml:"peer_verify"` // required, optional, none: certificates of clients
	MinVersion string `toml:"min_version"` // 1.2, 1.3

	config *tls.Config
}

func (t *TLS) init() error {
	versions := map[string]uint16{"": tls.VersionTLS12, "1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}
	verify := map[string]tls.ClientAuthType{
		"": tls.RequireAndVerifyClientCert, "required": tls.RequireAndVerifyClientCert, "optional": tls.VerifyClientCertIfGiven, "none": tls.NoClientCert,
	}
	version, ok := versions[t.MinVersion]
	if !ok {
		return option.Errorf("tls.min_version", "version %q is not known, want 1.2 or 1.3", t.MinVersion)
	}
	auth, ok := verify[t.PeerVerify]
	if !ok {
		return option.Errorf("tls.peer_verify", "%q is not known, want required, optional or none", t.PeerVerify)
	}
	if t.CertFile == "" {
		return option.Errorf("tls.cert_file", "the file of a certificate is required")
	}
	pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
	if err != nil {
		return option.Errorf("tls.cert_file", "%w", err)
	}
	t.config = &tls.Config{MinVersion: version, ClientAuth: auth, Certificates: []tls.Certificate{pair}}
	t.config.ClientCAs, err = loadCAs(t.CAFile, t.CADir)
	return err
}

// loadCAs reads certificates from a file and from the files of a directory; nil, the system's, if both are empty.
func loadCAs(file, dir string) (*x509.CertPool, error) {
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
			return nil, option.Errorf(key, "%w", err)
		}
		if !pool.AppendCertsFromPEM(pem) && file != "" {
			return nil, option.Errorf(key, "%s has no certificate", name)
		}
	}
	return pool, nil
}
