package lab

import "fmt"

// SSHD is the server that EnableSSH starts.
var SSHD = Program{"sshd", []string{"/usr/sbin/sshd", "-D", "-e"}}

// EnableSSH starts sshd on all hosts and lets root log in from each to each, without questions. A host has
// one key, for its server and for its root alike.
func (l *Lab) EnableSSH() {
	l.tb.Helper()
	l.Require("sshd", "ssh", "ssh-keygen")
	if singleUser {
		l.lack("sshd: it needs a second user id, which a user namespace made without root has not")
	}
	const key = "/root/.ssh/id_ed25519"
	var authorized, known string
	for _, h := range l.hosts {
		l.must(h, "mkdir", "-m", "0700", "/root/.ssh", "/run/sshd")
		l.must(h, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
		public, err := h.ReadFile(key + ".pub")
		if err != nil {
			l.tb.Fatalf("lab: host %s: %v", h.Name, err)
		}
		authorized += string(public)
		known += fmt.Sprintf("%s %s", h.Name, public)
	}
	for _, h := range l.hosts {
		h.WriteFile("/root/.ssh/authorized_keys", []byte(authorized), 0o600)
		h.WriteFile("/root/.ssh/known_hosts", []byte(known), 0o600)
		h.WriteFile("/etc/ssh/sshd_config", []byte("HostKey "+key+"\nUsePAM no\n"), 0o600)
		h.WriteFile("/etc/shadow", []byte("root:*:1:0:99999:7:::\n"), 0o600) // no password, but not locked
		h.Start(SSHD)
		h.AwaitListener("tcp", "127.0.0.1:22")
	}
}
