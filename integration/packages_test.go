package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"kad/integration/lab"
)

// packages are those that make packages makes, by their file names. They are made once.
var packages = sync.OnceValues(func() (map[string][]byte, error) {
	cmd := exec.Command("make", "packages")
	cmd.Dir = ".."
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("make packages: %w\n%s", err, out)
	}
	files, err := filepath.Glob("../dist/*.[dr][ep][bm]")
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("make packages has made nothing: %w", err)
	}
	all := map[string][]byte{}
	for _, file := range files {
		if all[filepath.Base(file)], err = os.ReadFile(file); err != nil {
			return nil, err
		}
	}
	return all, nil
})

// bringPackages writes the packages to /tmp of a host.
func bringPackages(t *testing.T, h *lab.Host) {
	t.Helper()
	all, err := packages()
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range all {
		h.WriteFile("/tmp/"+name, data, 0o644)
	}
}

const installAndRemove = `
not() { if "$@"; then return 1; fi; }
cd /tmp
dpkg --install ./*.deb
for unit in kad-track.service kad-notify-fifo.service kad-notify-sync.timer forwarder.service forwarder.socket; do
	systemd-analyze verify --man=no $unit
done
systemd-analyze security --offline=yes --threshold=25 forwarder.service
getent passwd forwarder keepalived_script
setpriv --reuid=forwarder --regid=forwarder --init-groups forwarder check
not setpriv --reuid=nobody --regid=nogroup --clear-groups cat /etc/forwarder/forwarder.toml
kad-track --profile relay --explain || [ $? = 1 ]
kad-status --version
kad-notify --version
for page in man1/kad-status.1 man8/forwarder.8; do
	test -s /usr/share/man/$page
done

echo '# mine' >>/etc/forwarder/forwarder.toml
dpkg --install ./kad-forwarder*.deb
grep mine /etc/forwarder/forwarder.toml

dpkg --remove kad kad-forwarder
not command -v forwarder
grep mine /etc/forwarder/forwarder.toml
dpkg --purge kad kad-forwarder
not test -e /etc/kad
not test -e /etc/forwarder
not grep -r kad- /usr/bin /usr/lib/systemd/system --files-with-matches

for package in ./*.rpm; do
	rpm --checksig --nosignature $package
	rpm --query --package --list --scripts $package
done
`

// TestPackages installs the packages as dpkg does, uses them, upgrades, and removes them without a trace.
func TestPackages(t *testing.T) {
	l := lab.New(t, lab.Options{Writable: true})
	l.Require("dpkg", "rpm", "systemd-analyze", "setpriv")
	h := l.AddHost("loghost01", "192.168.245.52/24")
	bringPackages(t, h)
	r := h.Run("sh", "-exc", installAndRemove)
	if r.Code != 0 {
		t.Fatalf("exit %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	for _, want := range []string{"/usr/bin/kad-notify", "/usr/lib/systemd/system/forwarder.service", "/etc/forwarder/forwarder.toml", "postinstall scriptlet"} {
		if !strings.Contains(r.Stdout, want) {
			t.Errorf("no rpm has %s", want)
		}
	}
}
