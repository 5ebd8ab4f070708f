package option

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// A Report takes what a driver finds wrong with what it needs of its host. key is the option that says it; severe is
// whether the driver cannot work.
type Report func(key string, severe bool, err error)

// A Checker is a driver that needs something of its host.
type Checker interface {
	// CheckEnvironment looks at files and directories. It changes nothing.
	CheckEnvironment(report Report)
}

// CheckDirectory tells what keeps us from making files in a directory, which may be made with those above it if create is set.
func CheckDirectory(dir string, create bool) error {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist) && create && filepath.Dir(dir) != dir:
		return CheckDirectory(filepath.Dir(dir), create)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("directory %s does not exist", dir)
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s is no directory", dir)
	}
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return fmt.Errorf("directory %s is not writable for uid %d: %w", dir, os.Geteuid(), err)
	}
	return nil
}

// soon is how long before its end a certificate is warned of.
const soon = 14 * 24 * time.Hour

// CheckCertificates reports the certificates of a file that are not valid now, or not for long. Whether the file can be
// read at all is not its business.
func CheckCertificates(key, file string, now time.Time, report Report) {
	data, _ := os.ReadFile(file)
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		cert, err := x509.ParseCertificate(block.Bytes)
		switch {
		case block.Type != "CERTIFICATE" || err != nil:
		case now.After(cert.NotAfter):
			report(key, true, fmt.Errorf("%s: certificate of %q has expired at %s", file, cert.Subject, cert.NotAfter.Format(time.RFC3339)))
		case now.Before(cert.NotBefore):
			report(key, true, fmt.Errorf("%s: certificate of %q is not valid before %s", file, cert.Subject, cert.NotBefore.Format(time.RFC3339)))
		case cert.NotAfter.Sub(now) < soon:
			report(key, false, fmt.Errorf("%s: certificate of %q expires at %s", file, cert.Subject, cert.NotAfter.Format(time.RFC3339)))
		}
	}
}
