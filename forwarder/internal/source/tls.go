package source

import (
	"crypto/tls"

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
	verify := map[string]tls.ClientAuthType{
		"": tls.RequireAndVerifyClientCert, "required": tls.RequireAndVerifyClientCert, "optional": tls.VerifyClientCertIfGiven, "none": tls.NoClientCert,
	}
	version, err := option.TLSVersion(t.MinVersion)
	if err != nil {
		return err
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
	t.config.ClientCAs, err = option.LoadCAs(t.CAFile, t.CADir)
	return err
}
