package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kad/integration/lab"
)

// asNewMachine runs a script as root of a machine that has this one's files, and may change them: what it writes goes to
// memory and is gone at its end, with all that it started. $dist is the directory of the packages.
const asNewMachine = `
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work overlay /mnt/root
mount --rbind /dev /mnt/root/dev
mount -t proc proc /mnt/root/proc
mount -t tmpfs tmpfs /mnt/root/run
mount -t tmpfs tmpfs /mnt/root/tmp
cp dist/*.deb dist/*.rpm /mnt/root/tmp
exec chroot /mnt/root sh -exc "$1"
`

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
	lab.New(t, lab.Options{}).Require("dpkg", "rpm", "systemd-analyze", "unshare", "setpriv")
	root := ".."
	old, err := filepath.Glob(root + "/dist/*.[dr][ep][bm]")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range old {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	makePackages := exec.Command("make", "packages")
	makePackages.Dir = root
	if out, err := makePackages.CombinedOutput(); err != nil {
		t.Fatalf("make packages: %v\n%s", err, out)
	}
	script := exec.Command("unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", asNewMachine, "sh", installAndRemove)
	script.Dir = root
	out, err := script.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"/usr/bin/kad-notify", "/usr/lib/systemd/system/forwarder.service", "/etc/forwarder/forwarder.toml", "postinstall scriptlet"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no rpm has %s", want)
		}
	}
}
