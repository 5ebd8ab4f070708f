package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"kad/pkg/control"
)

// checkTCP returns a probe that passes when a TCP connection to address is accepted. The
// kernel accepts for a process that is stopped, too.
func checkTCP(address string, _ setting) (probe, error) {
	if err := validAddress(address); err != nil {
		return nil, err
	}
	return func(ctx context.Context) (int, error) {
		conn, err := dial(ctx, "tcp", address)
		if err != nil {
			return 0, err
		}
		return 0, conn.Close()
	}, nil
}

// checkUnix returns a probe that passes when somebody listens on the unix socket at path,
// whatever its type.
func checkUnix(path string, _ setting) (probe, error) {
	return func(ctx context.Context) (int, error) {
		for _, kind := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_SEQPACKET} {
			conn, pid, err := control.Dial(ctx, path, kind)
			switch {
			case err == nil:
				return pid, conn.Close()
			case errors.Is(err, syscall.EAGAIN):
				return 0, errors.New("the backlog is full")
			case !errors.Is(err, syscall.EPROTOTYPE):
				return 0, err
			}
		}
		return 0, errors.New("a socket of an unknown type")
	}, nil
}

// validAddress refuses what is not HOST:PORT.
func validAddress(address string) error {
	_, port, err := net.SplitHostPort(address)
	if err != nil || port == "" {
		return errors.New("want HOST:PORT, an IPv6 address in brackets")
	}
	return nil
}

// checkUDPListen returns a probe that passes when a UDP socket of this network namespace is
// bound to address, or to its port on all addresses. Without a host any address will do.
func checkUDPListen(address string, _ setting) (probe, error) {
	host, text, err := net.SplitHostPort(address)
	port, portErr := strconv.ParseUint(text, 10, 16)
	if err != nil || portErr != nil {
		return nil, errors.New("want IP:PORT or :PORT, an IPv6 address in brackets")
	}
	var ip netip.Addr
	if host != "" {
		if ip, err = netip.ParseAddr(host); err != nil {
			return nil, fmt.Errorf("%q is not an IP address", host)
		}
	}
	return func(context.Context) (int, error) {
		for _, table := range []string{"/proc/net/udp", "/proc/net/udp6"} {
			bound, err := boundIn(table, ip.Unmap().WithZone(""), uint16(port))
			if bound || err != nil {
				return 0, err
			}
		}
		return 0, errors.New("nobody has bound it")
	}, nil
}

// boundIn looks for a bound and unconnected socket in a table of the kernel (proc_net(5)):
// columns sl, local_address, rem_address, st, where st 07 means unconnected.
func boundIn(table string, ip netip.Addr, port uint16) (bool, error) {
	f, err := os.Open(table)
	if errors.Is(err, fs.ErrNotExist) { // IPv6 is off
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		column := strings.Fields(lines.Text())
		if len(column) < 4 || column[3] != "07" {
			continue
		}
		local, err := parseLocal(column[1])
		if err != nil {
			return false, fmt.Errorf("%s: %w", table, err)
		}
		a := local.Addr()
		everywhere := a.IsUnspecified() && (a.Is6() || ip.Is4())
		if local.Port() == port && (!ip.IsValid() || a.Unmap() == ip || everywhere) {
			return true, nil
		}
	}
	return false, lines.Err()
}

// parseLocal reads an address of the kernel's tables: words of 32 bits in hexadecimal, as they
// lie in memory, and the port.
func parseLocal(text string) (netip.AddrPort, error) {
	address, port, _ := strings.Cut(text, ":")
	b, err := hex.DecodeString(address)
	p, portErr := strconv.ParseUint(port, 16, 16)
	if err != nil || portErr != nil || len(b)%4 != 0 {
		return netip.AddrPort{}, fmt.Errorf("%q is not an address", text)
	}
	for word := b; len(word) > 0; word = word[4:] {
		binary.NativeEndian.PutUint32(word, binary.BigEndian.Uint32(word))
	}
	ip, ok := netip.AddrFromSlice(b)
	if !ok {
		return netip.AddrPort{}, fmt.Errorf("%q is not an address", text)
	}
	return netip.AddrPortFrom(ip, uint16(p)), nil
}
