// Package testneed is for tests that need something of the machine. Without it they are skipped; where KAD_REQUIRE=1, as in
// make test and CI, they fail.
package testneed

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// That ends the test unless ok, and says what it needs.
func That(t testing.TB, ok bool, what string) {
	t.Helper()
	switch {
	case ok:
	case os.Getenv("KAD_REQUIRE") == "1":
		t.Fatalf("needs %s", what)
	default:
		t.Skipf("needs %s", what)
	}
}

// Root ends the test unless it is root's; why says what for.
func Root(t testing.TB, why string) {
	t.Helper()
	That(t, os.Geteuid() == 0, "root, "+why)
}

// Program returns the path of a program, which may be one for root only, and ends the test where it is not installed.
func Program(t testing.TB, name string) (path string) {
	t.Helper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin") {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	That(t, false, name)
	return ""
}
