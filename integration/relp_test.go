package integration

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"kad/integration/rsyslog"
	"kad/pkg/testneed"
)

// relpMessages is how many each test sends.
const relpMessages = 4000

// A relay is a process between others, which can be killed and started again.
type relay struct {
	t    *testing.T
	argv []string
	port int
	log  bytes.Buffer
	cmd  *exec.Cmd
}

func startRelay(t *testing.T, port int, argv ...string) *relay {
	t.Helper()
	r := &relay{t: t, argv: argv, port: port}
	t.Cleanup(func() {
		r.kill()
		if t.Failed() {
			t.Logf("%s:\n%s", argv[0], r.log.Bytes())
		}
	})
	r.start()
	return r
}

// start starts it and waits until it listens.
func (r *relay) start() {
	r.t.Helper()
	r.cmd = exec.Command(r.argv[0], r.argv[1:]...)
	r.cmd.Stdout, r.cmd.Stderr = &r.log, &r.log
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	awaitTrue(r.t, r.argv[0]+" listens", func() bool {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", r.port))
		if err == nil {
			_ = c.Close() // it was only to see
		}
		return err == nil
	})
}

func (r *relay) kill() {
	if r.cmd.ProcessState == nil {
		_ = r.cmd.Process.Kill() // or it has ended
		_ = r.cmd.Wait()         // killed
	}
}

func awaitTrue(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("in vain: %s", what)
		}
	}
}

// A relpCase is a directory with configurations, and two ports.
type relpCase struct {
	t        *testing.T
	dir, out string
	in, mid  int // where messages come in, and where the second relay takes them
}

func newRELPCase(t *testing.T) *relpCase {
	dir := t.TempDir()
	return &relpCase{t, dir, filepath.Join(dir, "out"), loopbackPort(t), loopbackPort(t)}
}

func loopbackPort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func (c *relpCase) file(name, text string) string {
	c.t.Helper()
	path := filepath.Join(c.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
	return path
}

// forwarder runs between a source and a destination, with flow control.
func (c *relpCase) forwarder(name string, port int, source, destination string) *relay {
	config := c.file(name+".toml", fmt.Sprintf("[source.s]\n%s\n[destination.d]\n%s\n[log.l]\nsource = [\"s\"]\ndestination = [\"d\"]\nflags = [\"flow_control\"]\n", source, destination))
	return startRelay(c.t, port, filepath.Join(bin, "forwarder"), "run", "--config", config)
}

// The ends of forwarder: lines come in, go on by RELP, come by RELP, and go to a file over a reliable disk buffer.
func (c *relpCase) lines() string {
	return fmt.Sprintf("driver = \"network\"\nip = \"127.0.0.1\"\nport = %d\n", c.in)
}

func (c *relpCase) toRELP(more string) string {
	return fmt.Sprintf("driver = \"relp\"\naddress = \"127.0.0.1\"\nport = %d\ntime_reopen = \"100ms\"\n%s", c.mid, more)
}

func (c *relpCase) fromRELP(more string) string {
	return fmt.Sprintf("driver = \"relp\"\nip = \"127.0.0.1\"\nport = %d\n%s", c.mid, more)
}

func (c *relpCase) toFile() string {
	return fmt.Sprintf("driver = \"file\"\npath = %q\ntemplate = \"$MSG\\n\"\ndisk_buffer = { reliable = true, dir = %q }\n", c.out, c.dir)
}

// rsyslog runs with a configuration that says what of this needs no queue of its own.
func (c *relpCase) rsyslog(port int, config string) *relay {
	path, err := rsyslog.Path()
	testneed.That(c.t, err == nil, fmt.Sprint("rsyslog: ", err))
	file := c.file("rsyslog.conf", "global(workDirectory=\""+c.dir+"\")\n"+config)
	return startRelay(c.t, port, path, "-n", "-iNONE", "-f", file)
}

func (c *relpCase) rsyslogToFile(more string) string {
	return fmt.Sprintf(`module(load="imrelp")
template(name="line" type="string" string="%%msg:R,ERE,1,BLANK:([0-9]+)--end%%\n")
ruleset(name="r" queue.type="Direct") { action(type="omfile" file=%q template="line" asyncWriting="off" flushOnTXEnd="on") }
input(type="imrelp" address="127.0.0.1" port="%d" ruleset="r" %s)
`, c.out, c.mid, more)
}

func (c *relpCase) rsyslogToRELP(more string) string {
	return fmt.Sprintf(`module(load="imtcp")
module(load="omrelp")
main_queue(queue.type="LinkedList" queue.size="100000")
input(type="imtcp" address="127.0.0.1" port="%d")
action(type="omrelp" target="127.0.0.1" port="%d" windowSize="128" action.resumeRetryCount="-1" action.resumeInterval="1" %s)
`, c.in, c.mid, more)
}

// send sends the messages of one test, at a pace that leaves time for what happens meanwhile.
func (c *relpCase) send(meanwhile func()) {
	c.t.Helper()
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", c.in))
	if err != nil {
		c.t.Fatal(err)
	}
	defer conn.Close()
	for i := 0; i < relpMessages; i += 100 {
		var b []byte
		for n := range 100 {
			b = fmt.Appendf(b, "<13>Oct 11 22:14:15 h a: %d--end\n", i+n)
		}
		if _, err := conn.Write(b); err != nil {
			c.t.Fatal(err)
		}
		if i == relpMessages/4 && meanwhile != nil {
			awaitTrue(c.t, "messages arrive", func() bool { return len(c.counts()) > 0 })
			meanwhile()
		}
	}
}

// counts has how often each message arrived.
func (c *relpCase) counts() map[int]int {
	c.t.Helper()
	data, err := os.ReadFile(c.out)
	if err != nil && !os.IsNotExist(err) {
		c.t.Fatal(err)
	}
	counts := map[int]int{}
	for line := range bytes.Lines(data[:bytes.LastIndexByte(data, '\n')+1]) {
		n, err := strconv.Atoi(string(bytes.TrimSuffix(bytes.TrimSpace(line), []byte("--end"))))
		if err != nil {
			c.t.Fatalf("line %q", line)
		}
		counts[n]++
	}
	return counts
}

// want waits for all messages, of which some may come twice.
func (c *relpCase) want(duplicates int) {
	c.t.Helper()
	awaitTrue(c.t, "all messages arrive", func() bool { return len(c.counts()) == relpMessages })
	twice := 0
	for _, n := range c.counts() {
		twice += n - 1
	}
	c.t.Logf("%d messages, %d of them twice", relpMessages, twice)
	if twice > duplicates {
		c.t.Errorf("%d duplicates, want at most %d", twice, duplicates)
	}
}

// relpWindow is what may have been taken without an answer when a receiver is killed.
const relpWindow = 128

// rsyslog takes what forwarder sends, and is killed while it does.
func TestRELPToRsyslog(t *testing.T) {
	c := newRELPCase(t)
	theirs := c.rsyslog(c.mid, c.rsyslogToFile(""))
	c.forwarder("sender", c.in, c.lines(), c.toRELP(""))
	c.send(func() { theirs.kill(); theirs.start() })
	c.want(relpWindow)
}

// forwarder takes what rsyslog sends, and is killed while it does.
func TestRELPFromRsyslog(t *testing.T) {
	c := newRELPCase(t)
	ours := c.forwarder("receiver", c.mid, c.fromRELP(""), c.toFile())
	c.rsyslog(c.in, c.rsyslogToRELP(""))
	c.send(func() { ours.kill(); ours.start() })
	c.want(relpMessages) // rsyslog sends a whole batch of its queue again, and the position on disk is behind
}

// One forwarder sends to another one, which is killed: all that it has answered is in its disk buffer.
func TestRELPKillReceiver(t *testing.T) {
	c := newRELPCase(t)
	second := c.forwarder("receiver", c.mid, c.fromRELP(""), c.toFile())
	c.forwarder("sender", c.in, c.lines(), c.toRELP(""))
	c.send(func() { second.kill(); second.start() })
	c.want(relpMessages) // the position on disk is behind
}

// Both ways by TLS, where each side has the certificate that the other one wants.
func TestRELPTLS(t *testing.T) {
	ours := func(c *relpCase, key string) string {
		return fmt.Sprintf("transport = \"tls\"\ntls = { ca_file = %q, cert_file = %q, key_file = %q }\n", c.dir+"/ca.pem", c.dir+"/cert.pem", key)
	}
	theirs := func(c *relpCase, key string) string {
		return fmt.Sprintf(`tls="on" tls.caCert=%q tls.myCert=%q tls.myPrivKey=%q tls.authMode="name" tls.permittedPeer=["127.0.0.1"]`, c.dir+"/ca.pem", c.dir+"/cert.pem", key)
	}
	t.Run("to rsyslog", func(t *testing.T) {
		c := newRELPCase(t)
		key := c.certificates()
		c.rsyslog(c.mid, c.rsyslogToFile(theirs(c, key)))
		c.forwarder("sender", c.in, c.lines(), c.toRELP(ours(c, key)))
		c.send(nil)
		c.want(0)
	})
	t.Run("from rsyslog", func(t *testing.T) {
		c := newRELPCase(t)
		key := c.certificates()
		c.forwarder("receiver", c.mid, c.fromRELP(ours(c, key)), c.toFile())
		c.rsyslog(c.in, c.rsyslogToRELP(theirs(c, key)))
		c.send(nil)
		c.want(0)
	})
}

// certificates writes ca.pem, cert.pem for 127.0.0.1, and its key.
func (c *relpCase) certificates() (keyFile string) {
	c.t.Helper()
	issue := func(name string, template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) {
		template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
		if err != nil {
			c.t.Fatal(err)
		}
		c.file(name, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	}
	caKey, key := newKey(c.t), newKey(c.t)
	ca := &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	ca.Subject.CommonName = "test CA"
	issue("ca.pem", ca, ca, caKey, caKey)
	leaf := &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"127.0.0.1"}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	leaf.Subject.CommonName = "127.0.0.1"
	issue("cert.pem", leaf, ca, key, caKey)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		c.t.Fatal(err)
	}
	return c.file("key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
