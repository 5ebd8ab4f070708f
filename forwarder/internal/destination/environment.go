package destination

import (
	"path/filepath"
	"strings"

	"kad/forwarder/internal/option"
)

// CheckEnvironment looks at the directory of the file, as far as its name does not depend on messages.
func (f *File) CheckEnvironment(report option.Report) {
	fixed, _, templated := strings.Cut(f.Path.String(), "$")
	dir := filepath.Dir(fixed)
	if templated && strings.HasSuffix(fixed, "/") {
		dir = filepath.Clean(fixed)
	}
	if err := option.CheckDirectory(dir, f.CreateDirs); err != nil {
		report("path", true, err)
	}
}

// CheckEnvironment looks at the dates of the certificates.
func (n *Network) CheckEnvironment(report option.Report) {
	if n.TLS != nil {
		n.TLS.CheckEnvironment(report)
	}
}
