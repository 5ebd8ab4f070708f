package vip

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"kad/pkg/testneed"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// newNamespace makes an empty network namespace; it ends with the test.
func newNamespace(t *testing.T) (path string, h *netlink.Handle) {
	t.Helper()
	testneed.Root(t, "to make network namespaces")
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	own, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	made, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { made.Close() })
	h, err = netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	if err := netns.Set(own); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), int(made)), h
}

func addLink(t *testing.T, h *netlink.Handle, l netlink.Link) {
	t.Helper()
	if err := h.LinkAdd(l); err != nil {
		t.Fatalf("add %s: %v", l.Attrs().Name, err)
	}
	if err := h.LinkSetUp(l); err != nil {
		t.Fatalf("up %s: %v", l.Attrs().Name, err)
	}
}

func named(name string) netlink.LinkAttrs {
	a := netlink.NewLinkAttrs()
	a.Name = name
	return a
}

func addVeth(t *testing.T, h *netlink.Handle) netlink.Link {
	t.Helper()
	l := &netlink.Veth{LinkAttrs: named("eth0"), PeerName: "eth1"}
	addLink(t, h, l)
	peer, err := h.LinkByName("eth1")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.LinkSetUp(peer); err != nil {
		t.Fatal(err)
	}
	return l
}

func address(t *testing.T, s string) *netlink.Addr {
	t.Helper()
	a, err := netlink.ParseAddr(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func addAddr(t *testing.T, h *netlink.Handle, l netlink.Link, s string) {
	t.Helper()
	if err := h.AddrAdd(l, address(t, s)); err != nil {
		t.Fatalf("add %s: %v", s, err)
	}
}

func find(addrs []Address, s string) Address {
	i := slices.IndexFunc(addrs, func(a Address) bool { return a.Addr.String() == s })
	if i < 0 {
		return Address{}
	}
	return addrs[i]
}

func TestList(t *testing.T) {
	ns, h := newNamespace(t)
	eth0 := addVeth(t, h)
	vmac := &netlink.Macvlan{LinkAttrs: named("vrrp.51"), Mode: netlink.MACVLAN_MODE_PRIVATE}
	vmac.ParentIndex = eth0.Attrs().Index
	addLink(t, h, vmac)
	addAddr(t, h, eth0, "192.0.2.1/24")
	addAddr(t, h, eth0, "192.0.2.10/24 eth0:vip1")
	addAddr(t, h, vmac, "192.0.2.100/32")
	addAddr(t, h, vmac, "2001:db8::100/64")
	peer := address(t, "198.51.100.1/32")
	peer.Peer = address(t, "198.51.100.2/30").IPNet
	if err := h.AddrAdd(eth0, peer); err != nil {
		t.Fatal(err)
	}
	old := address(t, "2001:db8::200/128")
	old.Flags = unix.IFA_F_NODAD
	old.ValidLft, old.PreferedLft = 1<<32-1, 0
	if err := h.AddrAdd(vmac, old); err != nil {
		t.Fatal(err)
	}

	got, err := List(ns)
	if err != nil {
		t.Fatal(err)
	}
	base, over := eth0.Attrs().Index, vmac.Attrs().Index
	want := []Address{
		{Bits: 24, Interface: "eth0", Index: base, Label: "eth0", Scope: "global", Addr: netip.MustParseAddr("192.0.2.1")},
		{Bits: 24, Interface: "eth0", Index: base, Label: "eth0:vip1", Scope: "global", Addr: netip.MustParseAddr("192.0.2.10")},
		{Bits: 30, Interface: "eth0", Index: base, Label: "eth0", Scope: "global", Addr: netip.MustParseAddr("198.51.100.1")},
		{Bits: 32, Interface: "vrrp.51", Index: over, Label: "vrrp.51", Scope: "global", Addr: netip.MustParseAddr("192.0.2.100")},
		{Bits: 64, Interface: "vrrp.51", Index: over, Scope: "global", Addr: netip.MustParseAddr("2001:db8::100"), Tentative: true},
		{Bits: 128, Interface: "vrrp.51", Index: over, Scope: "global", Addr: netip.MustParseAddr("2001:db8::200"), Deprecated: true},
	}
	for _, w := range want {
		if g := find(got, w.Addr.String()); g != w {
			t.Errorf("got %+v, want %+v", g, w)
		}
	}
	if own, err := List(""); err != nil || find(own, "192.0.2.100") != (Address{}) {
		t.Errorf("our own namespace has the address of the other one, or: %v", err)
	}
}

// ip(8) and List look at the same kernel and must see the same.
func TestListIsWhatIPShows(t *testing.T) {
	ns, h := newNamespace(t)
	for _, tool := range []string{"nsenter", "ip"} {
		_, err := exec.LookPath(tool)
		testneed.That(t, err == nil, tool)
	}
	eth0 := addVeth(t, h)
	for i := range 40 {
		addAddr(t, h, eth0, fmt.Sprintf("192.0.2.%d/%d", i+1, 24+i%9))
		addAddr(t, h, eth0, fmt.Sprintf("2001:db8::%x/64", i+1))
	}
	ipvlan := &netlink.IPVlan{LinkAttrs: named("ipvl.7"), Mode: netlink.IPVLAN_MODE_L2}
	ipvlan.ParentIndex = eth0.Attrs().Index
	if err := h.LinkAdd(ipvlan); err == nil { // not every kernel has it
		addAddr(t, h, ipvlan, "198.51.100.7/32")
	}
	// The kernel still adds link-local addresses and ends duplicate detection: what ip shows is to be
	// compared with a List before it that a List after it repeats.
	var got, want []Address
	for again := []Address(nil); got == nil || !slices.Equal(got, again); {
		got, want, again = sortedList(t, ns), ipShows(t, ns), sortedList(t, ns)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if len(got) < 80 {
		t.Errorf("got only %d addresses", len(got))
	}
}

func sortedList(t *testing.T, ns string) []Address {
	t.Helper()
	addrs, err := List(ns)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(addrs, byAddress)
	return addrs
}

func ipShows(t *testing.T, ns string) []Address {
	t.Helper()
	out, err := exec.Command("nsenter", "--net="+ns, "ip", "-j", "addr", "show").Output()
	if err != nil {
		t.Fatal(err)
	}
	addrs, err := ParseIP(out)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(addrs, byAddress)
	return addrs
}

func byAddress(a, b Address) int {
	return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Index, b.Index))
}

func TestListOwnNamespaceByPath(t *testing.T) {
	byPath, err := List("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	byDefault, err := List("")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(byPath, byDefault) {
		t.Errorf("got %+v, want %+v", byPath, byDefault)
	}
}

func TestListBadNamespace(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, ns, err string
		is            error
	}{
		{"missing", "/proc/0/ns/net", "network namespace /proc/0/ns/net: no such file or directory", fs.ErrNotExist},
		{"a file", file, "network namespace " + file + ": not a network namespace: invalid argument", unix.EINVAL},
		{"another kind", "/proc/self/ns/uts", "", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			addrs, err := List(tt.ns)
			if err == nil || addrs != nil {
				t.Fatalf("got %v and %v", addrs, err)
			}
			if tt.err != "" && (err.Error() != tt.err || !errors.Is(err, tt.is)) {
				t.Errorf("error %q, want %q", err, tt.err)
			}
			if err := Watch(t.Context(), tt.ns, func([]Address) { t.Error("changed called") }); err == nil {
				t.Error("Watch accepts it")
			}
		})
	}
}

// TestListAsNobody runs itself again without privileges.
func TestListAsNobody(t *testing.T) {
	if ns := os.Getenv("VIP_TEST_NAMESPACE"); ns != "" {
		_, err := List(ns)
		fmt.Printf("permission=%v: %v\n", errors.Is(err, fs.ErrPermission), err)
		own, err := List("/proc/self/ns/net")
		fmt.Printf("own=%v\n", err == nil && own != nil)
		os.Exit(0)
	}
	ns, _ := newNamespace(t)
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestListAsNobody$")
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "VIP_TEST_NAMESPACE="+ns)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want := "permission=true: network namespace " + ns + ": permission denied, entering it needs root\nown=true\n"
	if string(out) != want {
		t.Errorf("got %s, want %s", out, want)
	}
}

// A dump of many addresses that is interrupted by changes comes out whole.
func TestListDuringChanges(t *testing.T) {
	ns, h := newNamespace(t)
	eth0 := addVeth(t, h)
	const fixed = 2000
	for i := range fixed {
		addAddr(t, h, eth0, fmt.Sprintf("10.0.%d.%d/32", i/250, i%250+1))
	}
	moving := address(t, "192.0.2.1/32")
	for range 30 {
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 20 { // fewer changes than list takes interruptions
				h.AddrAdd(eth0, moving)
				h.AddrDel(eth0, moving)
			}
		}()
		addrs, err := List(ns)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[netip.Addr]bool{}
		for _, a := range addrs {
			if a.Addr.Is4() && a.Addr.As4()[0] == 10 {
				seen[a.Addr] = true
			}
		}
		if len(seen) != fixed {
			t.Fatalf("%d of %d addresses", len(seen), fixed)
		}
		<-done
	}
}

// watch runs Watch in ns until the test ends and checks that it then returns nil.
func watch(t *testing.T, ns string, changed func([]Address)) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- Watch(ctx, ns, changed) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Watch: %v", err)
		}
	})
}

// await takes lists from c until ok likes one, which it returns.
func await(t *testing.T, c <-chan []Address, what string, ok func([]Address) bool) []Address {
	t.Helper()
	limit := time.After(time.Minute)
	for {
		select {
		case addrs := <-c:
			if ok(addrs) {
				return addrs
			}
		case <-limit:
			t.Fatalf("no list with %s", what)
		}
	}
}

func TestWatch(t *testing.T) {
	ns, h := newNamespace(t)
	eth0 := addVeth(t, h)
	addAddr(t, h, eth0, "192.0.2.1/24")
	lists := make(chan []Address, 100)
	watch(t, ns, func(a []Address) { lists <- a })
	has := func(s string) func([]Address) bool {
		return func(a []Address) bool { return find(a, s) != Address{} }
	}
	if first := <-lists; !has("192.0.2.1")(first) {
		t.Errorf("first list is %+v", first)
	}
	addAddr(t, h, eth0, "192.0.2.100/32")
	await(t, lists, "192.0.2.100", has("192.0.2.100"))
	addAddr(t, h, eth0, "2001:db8::100/128")
	await(t, lists, "2001:db8::100", has("2001:db8::100"))
	await(t, lists, "2001:db8::100 no longer tentative", func(a []Address) bool {
		return has("2001:db8::100")(a) && !find(a, "2001:db8::100").Tentative
	})
	if err := h.AddrDel(eth0, address(t, "192.0.2.100/32")); err != nil {
		t.Fatal(err)
	}
	await(t, lists, "no 192.0.2.100", func(a []Address) bool { return !has("192.0.2.100")(a) })
	if err := h.LinkSetName(eth0, "ens3"); err != nil {
		t.Fatal(err)
	}
	await(t, lists, "ens3", func(a []Address) bool { return find(a, "192.0.2.1").Interface == "ens3" })
	if err := h.LinkDel(eth0); err != nil {
		t.Fatal(err)
	}
	await(t, lists, "no address", func(a []Address) bool { return len(a) == 0 })
}

// Two hosts with one IPv6 address: the second finds out, and does not hold it.
func TestWatchDuplicate(t *testing.T) {
	ns, h := newNamespace(t)
	eth0 := addVeth(t, h)
	eth1, err := h.LinkByName("eth1")
	if err != nil {
		t.Fatal(err)
	}
	first := address(t, "2001:db8::100/64")
	first.Flags = unix.IFA_F_NODAD
	if err := h.AddrAdd(eth0, first); err != nil {
		t.Fatal(err)
	}
	lists := make(chan []Address, 100)
	watch(t, ns, func(a []Address) { lists <- a })
	addAddr(t, h, eth1, "2001:db8::100/64")
	got := await(t, lists, "a duplicate", func(a []Address) bool {
		return slices.ContainsFunc(a, func(a Address) bool { return a.DADFailed })
	})
	if a, ok := Held(got, netip.MustParseAddr("2001:db8::100")); !ok || a.Interface != "eth0" {
		t.Errorf("held %v as %+v, want on eth0", ok, a)
	}
}

func TestWatchBurst(t *testing.T) {
	ns, h := newNamespace(t)
	eth0 := addVeth(t, h)
	lists := make(chan []Address, 10000)
	watch(t, ns, func(a []Address) { lists <- a })
	<-lists
	const n = 400
	start := time.Now()
	for i := range n {
		addAddr(t, h, eth0, fmt.Sprintf("10.0.%d.%d/32", i/250, i%250+1))
	}
	calls := 0
	await(t, lists, "all addresses", func(a []Address) bool {
		calls++
		return slices.ContainsFunc(a, func(a Address) bool { return a.Addr.String() == "10.0.1.150" })
	})
	// Some more than one a settle: the veth pair's link-local addresses change meanwhile.
	if limit := int(time.Since(start)/settle) + 5; calls > limit {
		t.Errorf("%d lists for %d changes in %v, want at most %d", calls, n, time.Since(start), limit)
	}
}

// dropped reads the kernel's count of messages it could not queue in ns.
func dropped(t *testing.T, ns string) (drops string) {
	t.Helper()
	err := inNamespace(ns, func() error {
		data, err := os.ReadFile("/proc/thread-self/net/netlink")
		if err != nil {
			return err
		}
		for _, line := range strings.Split(string(data), "\n")[1:] {
			if f := strings.Fields(line); len(f) > 8 && f[3] != "00000000" && f[8] != "0" {
				drops = f[8]
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return drops
}

func TestWatchResyncsAfterLostEvents(t *testing.T) {
	ns, h := newNamespace(t)
	eth0 := addVeth(t, h)
	lists := make(chan []Address)
	watch(t, ns, func(a []Address) {
		select {
		case lists <- a:
		case <-t.Context().Done():
		}
	})
	<-lists
	addAddr(t, h, eth0, "192.0.2.1/32") // Watch now blocks in changed, its socket fills up
	for i := 0; dropped(t, ns) == ""; i++ {
		if i == 100000 {
			t.Fatal("the kernel drops no event")
		}
		addAddr(t, h, eth0, fmt.Sprintf("10.%d.%d.1/32", i/250, i%250))
	}
	addAddr(t, h, eth0, "192.0.2.2/32") // its event is lost as well
	await(t, lists, "192.0.2.2", func(a []Address) bool { return find(a, "192.0.2.2") != Address{} })
}

func TestNothingIsLeftBehind(t *testing.T) {
	ns, _ := newNamespace(t)
	goroutines := runtime.NumGoroutine()
	fds := openFiles(t)
	for range 50 {
		if _, err := List(ns); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		if err := Watch(ctx, ns, func([]Address) { cancel() }); err != nil {
			t.Fatal(err)
		}
	}
	for limit := time.Now().Add(time.Minute); runtime.NumGoroutine() > goroutines; runtime.Gosched() {
		if time.Now().After(limit) {
			t.Fatalf("%d goroutines before, %d after", goroutines, runtime.NumGoroutine())
		}
	}
	if n := openFiles(t); n > fds {
		t.Errorf("%d open files before, %d after", fds, n)
	}
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	threads, err := filepath.Glob("/proc/self/task/*/ns/net")
	if err != nil || len(threads) == 0 {
		t.Fatalf("threads %v: %v", threads, err)
	}
	for _, thread := range threads {
		if got, err := os.Readlink(thread); err == nil && got != own {
			t.Errorf("%s is %s, want %s", thread, got, own)
		}
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// A watch of a quiet namespace costs no time of the processor.
func TestWatchDoesNotSpin(t *testing.T) {
	ns, _ := newNamespace(t)
	first := make(chan struct{})
	watch(t, ns, func([]Address) { close(first) })
	<-first
	before := switches(t)
	time.Sleep(500 * time.Millisecond)
	if n := switches(t) - before; n > 200 {
		t.Errorf("%d context switches in half a second", n)
	}
}

func switches(t *testing.T) int64 {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return u.Nvcsw + u.Nivcsw
}

func BenchmarkList(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := List(""); err != nil {
			b.Fatal(err)
		}
	}
}
