package source

import (
	"crypto/tls"
	"crypto/x509"

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

// Certificate is the one that the input shows its clients, nil if there is none.
func (in *Input) Certificate() *x509.Certificate {
	if n, ok := in.driver.(*Network); ok && n.TLS != nil {
		return n.TLS.config.Certificates[0].Leaf
	}
	return nil
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
