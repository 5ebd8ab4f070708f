package vip

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
)

// ipLink is an element of the array that `ip -j addr show` prints (iproute2, ip/ipaddress.c).
type ipLink struct {
	Index int      `json:"ifindex"`
	Name  string   `json:"ifname"`
	Addrs []ipAddr `json:"addr_info"`
}

type ipAddr struct {
	Local      string `json:"local"`
	Bits       *int   `json:"prefixlen"`
	Label      string `json:"label"`
	Scope      string `json:"scope"`
	Tentative  bool   `json:"tentative"`
	DADFailed  bool   `json:"dadfailed"`
	Deprecated bool   `json:"deprecated"`
}

// ParseIP reads what `ip -j addr show` printed. Errors name the line, or the interface
// and the address's place in its addr_info, from 0.
func ParseIP(data []byte) ([]Address, error) {
	var links []ipLink
	if err := json.Unmarshal(data, &links); err != nil {
		return nil, placed(data, err)
	}
	if links == nil {
		return nil, errors.New("line 1: not the JSON of `ip -j addr show`: null")
	}
	list := []Address{}
	for i, l := range links { // with a filter, ip prints {} for what it leaves out
		if l.Name == "" && len(l.Addrs) > 0 {
			return nil, fmt.Errorf("interface %d: addresses without ifname", i)
		}
		for j, a := range l.Addrs {
			addr, err := a.address(l)
			if err != nil {
				return nil, fmt.Errorf("interface %q: addr_info[%d]: %w", l.Name, j, err)
			}
			list = append(list, addr)
		}
	}
	return list, nil
}

func (a ipAddr) address(l ipLink) (Address, error) {
	ip, err := netip.ParseAddr(a.Local)
	if err != nil || ip.Zone() != "" {
		return Address{}, fmt.Errorf("local %q is not an IP address", a.Local)
	}
	if a.Bits == nil {
		return Address{}, errors.New("no prefixlen")
	}
	if *a.Bits < 0 || *a.Bits > ip.BitLen() {
		return Address{}, fmt.Errorf("prefixlen %d is not within 0 to %d", *a.Bits, ip.BitLen())
	}
	return Address{
		Addr:       ip,
		Bits:       *a.Bits,
		Interface:  l.Name,
		Index:      l.Index,
		Label:      a.Label,
		Scope:      a.Scope,
		Tentative:  a.Tentative,
		DADFailed:  a.DADFailed,
		Deprecated: a.Deprecated,
	}, nil
}

// placed puts the line before an error of encoding/json.
func placed(data []byte, err error) error {
	line := func(offset int64) int { return 1 + bytes.Count(data[:offset], []byte("\n")) }
	var syntax *json.SyntaxError
	var mistyped *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("line %d: not the JSON of `ip -j addr show`: %w", line(syntax.Offset), err)
	case errors.As(err, &mistyped):
		return fmt.Errorf("line %d: not the JSON of `ip -j addr show`: %s: found %s",
			line(mistyped.Offset), cmp.Or(mistyped.Field, "the document"), mistyped.Value)
	}
	return err
}
