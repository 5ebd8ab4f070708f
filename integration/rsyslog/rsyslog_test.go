package rsyslog

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"kad/pkg/testneed"
)

// What was unpacked runs, and finds its modules.
func TestPath(t *testing.T) {
	path, err := Path()
	testneed.That(t, err == nil, fmt.Sprint("rsyslog: ", err))
	config := filepath.Join(t.TempDir(), "rsyslog.conf")
	const text = "module(load=\"imrelp\")\nmodule(load=\"omrelp\")\ninput(type=\"imrelp\" port=\"2514\")\n*.* action(type=\"omrelp\" target=\"localhost\")\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(path, "-N1", "-f", config).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func TestPathOutsideOfCheckout(t *testing.T) {
	t.Chdir("/")
	if path, err := Path(); err == nil {
		t.Errorf("got %s, want an error", path)
	}
}
