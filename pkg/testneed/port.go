package testneed

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// Port returns a port of 127.0.0.1 that nobody has, of TCP nor UDP, and nobody gets until the test ends: it is below those that
// the kernel gives to who wants any (net.ipv4.ip_local_port_range), and other callers of Port, in whatever process, do without it.
func Port(t testing.TB) int {
	t.Helper()
	for range 1000 {
		port := 10000 + rand.IntN(20000)
		// A name without a file belongs to the network namespace, as ports do.
		claim, err := net.Listen("unix", fmt.Sprintf("@kad-test-port-%d", port))
		if err != nil {
			continue
		}
		t.Cleanup(func() { claim.Close() })
		if isFree(port) {
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

func isFree(port int) bool {
	address := fmt.Sprintf("127.0.0.1:%d", port)
	stream, err := net.Listen("tcp", address)
	if err != nil {
		return false
	}
	defer stream.Close()
	datagrams, err := net.ListenPacket("udp", address)
	if err != nil {
		return false
	}
	datagrams.Close()
	return true
}
