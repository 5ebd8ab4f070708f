package testneed

import (
	"fmt"
	"net"
	"testing"
)

func TestPort(t *testing.T) {
	seen := map[int]bool{}
	for range 100 {
		port := Port(t)
		if seen[port] || !isFree(port) {
			t.Fatalf("port %d, handed out before: %v", port, seen[port])
		}
		seen[port] = true
	}
	for _, network := range []string{"tcp", "udp"} {
		port := Port(t)
		address := fmt.Sprintf("127.0.0.1:%d", port)
		if network == "tcp" {
			l, err := net.Listen(network, address)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
		} else {
			l, err := net.ListenPacket(network, address)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
		}
		if isFree(port) {
			t.Errorf("%s port %d is taken, and passes for free", network, port)
		}
	}
}
