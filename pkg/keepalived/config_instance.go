package keepalived

import (
	"cmp"
	"net/netip"
	"strconv"
	"strings"
)

const (
	confPriority      = 100
	confPriorityOwner = 255
	// confInterfaceSize is the kernel's IFNAMSIZ, with the NUL at the end.
	confInterfaceSize = 16
)

// setState: MASTER stays when BACKUP follows, any other word is BACKUP.
func (b *confBuilder) setState(l confLine) {
	word, ok := b.param(l, 1)
	if !ok {
		return
	}
	in := b.instance
	in.StateSaid = true
	switch {
	case word == string(Master):
		in.State = Master
	case word != string(Backup) || in.State == "":
		in.State = Backup
	}
}

func (b *confBuilder) setInterface(l confLine) {
	if name, ok := b.param(l, 1); ok && len(name) < confInterfaceSize {
		b.instance.Interface = name
	}
}

func (b *confBuilder) setVRID(l confLine) {
	if word, ok := b.param(l, 1); ok {
		if n, ok := confNumber(word, 1, 255, false); ok {
			b.instance.VRID = n
		}
	}
}

// setPriority: what is not a priority is the default, also with state MASTER.
func (b *confBuilder) setPriority(l confLine) {
	if word, ok := b.param(l, 1); ok {
		b.instance.Priority = confPriority
		if n, ok := confNumber(word, 1, confPriorityOwner, false); ok {
			b.instance.Priority = n
		}
	}
}

func (b *confBuilder) setVersion(l confLine) {
	in := b.instance
	version := 0
	b.setNumber(&version, l, 2, 3)
	if in.version == 0 && version != 0 && !(version == 2 && in.family == 6) {
		in.version = version
	}
}

func (b *confBuilder) nativeIPv6() {
	if b.instance.family != 4 {
		b.instance.family, b.instance.version = 6, 3
	}
}

// setFamily takes the address family of the instance from its first address.
func (b *confBuilder) setFamily(l confLine, i int) {
	word, ok := b.param(l, i)
	if !ok {
		return
	}
	if addr, err := netip.ParseAddr(word); err == nil && b.instance.family == 0 {
		b.instance.family = confFamily(addr)
	}
}

func confFamily(a netip.Addr) int {
	if a.Is4() {
		return 4
	}
	return 6
}

// vip takes a line of virtual_ipaddress: one address, of the family of the first.
func (b *confBuilder) vip(l confLine) {
	v, ok := confVIP(l)
	if !ok {
		return
	}
	family := confFamily(v.Prefix.Addr())
	if b.instance.family == 0 {
		b.instance.family = family
	}
	if b.instance.family == family {
		b.instance.VIPs = append(b.instance.VIPs, v)
	}
}

func (b *confBuilder) excludedVIP(l confLine) {
	if v, ok := confVIP(l); ok {
		b.instance.Excluded = append(b.instance.Excluded, v)
	}
}

// confVIP reads "ADDRESS[/LEN] [dev DEV] [brd ADDRESS] ..." (vrrp/vrrp_ipaddress.c); not
// ok for an address that keepalived drops. Words that it does not know are ignored,
// a second address too.
func confVIP(l confLine) (ConfigVIP, bool) {
	prefix, ok := confPrefix(l.words[0])
	v := ConfigVIP{Prefix: prefix, Pos: l.pos}
	is4 := prefix.Addr().Is4()
	for words := l.words[1:]; ok && len(words) > 0; words = words[1:] {
		word := words[0]
		switch word {
		case "dev", "scope", "broadcast", "brd", "label", "peer", "preferred_lft":
			if len(words) == 1 {
				return ConfigVIP{}, false
			}
			words = words[1:]
		}
		value := words[0]
		switch word {
		case "dev":
			ok = v.Device == ""
			v.Device = value
		case "broadcast", "brd":
			_, err := netip.ParseAddr(value)
			ok = is4 && (err == nil || value == "+" || value == "-")
		case "label":
			ok = len(value) < confInterfaceSize
		case "peer":
			if peer, err := netip.ParseAddr(value); err == nil && peer.Is4() == is4 {
				v.Prefix = netip.PrefixFrom(prefix.Addr(), peer.BitLen())
			}
		}
	}
	return v, ok
}

// confPrefix reads ADDRESS[/LEN]; a length that is none stands for all bits.
func confPrefix(s string) (netip.Prefix, bool) {
	word, length, slash := strings.Cut(s, "/")
	addr, err := netip.ParseAddr(word)
	if err != nil || addr.Zone() != "" {
		return netip.Prefix{}, false
	}
	bits := addr.BitLen()
	if slash {
		if n, ok := confNumber(length, 0, bits, true); ok {
			bits = n
		}
	}
	return netip.PrefixFrom(addr, bits), true
}

// useVMAC is "use_vmac [NAME] [MAC]", in any order.
func (b *confBuilder) useVMAC(l confLine) {
	b.instance.vmac = true
	for _, word := range l.words[1:min(len(l.words), 3)] {
		if !strings.Contains(word, ":") {
			b.nameVMAC(word)
		}
	}
}

// useIPVLAN is "use_ipvlan [NAME] [ADDRESS] [bridge|private|vepa]", in any order.
func (b *confBuilder) useIPVLAN(l confLine) {
	b.instance.vmac = true
	for i, word := range l.words[1:] {
		switch word {
		case "bridge", "private", "vepa":
			continue
		}
		if _, ok := confPrefix(word); ok {
			b.setFamily(l, i+1)
		} else {
			b.nameVMAC(word)
		}
	}
}

func (b *confBuilder) nameVMAC(name string) {
	in := b.instance
	if in.VMAC == "" && name != "" && len(name) < confInterfaceSize && !strings.ContainsAny(name, "/"+confSpace) && b.first("use_vmac", name) {
		in.VMAC = name
	}
}

// finish applies the defaults, when all of the configuration is known (vrrp/vrrp.c,
// vrrp_complete_instance). What depends on the host's interfaces is left out.
func (b *confBuilder) finish() {
	for _, in := range b.instances {
		b.finishRole(in)
		if in.Interface == "" {
			in.VMAC = ""
		} else if in.vmac && in.VMAC == "" {
			in.VMAC = b.defaultVMAC(in)
		}
	}
	for _, in := range b.instances {
		in.ownDevice(in.VIPs)
		in.ownDevice(in.Excluded)
		b.config.Instances = append(b.config.Instances, in.ConfigInstance)
	}
	for _, g := range b.groups {
		b.config.Groups = append(b.config.Groups, *g)
	}
}

// ownDevice: "dev" with the instance's interface means what no dev means, its VMAC if it has one.
func (in *confInstance) ownDevice(vips []ConfigVIP) {
	for i := range vips {
		if vips[i].Device == in.Interface {
			vips[i].Device = ""
		}
	}
}

// finishRole: strict mode wants MASTER and priority 255 together; with AH authentication
// an instance starts as BACKUP to learn the sequence number.
func (b *confBuilder) finishRole(in *confInstance) {
	if in.Priority == 0 {
		in.Priority = confPriority
		if in.State == Master {
			in.Priority = confPriorityOwner
		}
	}
	strict := b.strict
	if in.strict != nil {
		strict = *in.strict
	}
	version := in.version
	switch {
	case in.family == 6 && (version == 0 || strict):
		version = 3
	case version == 0:
		version = b.version
	}
	ah := in.ah && in.password && !strict && version == 2 && in.family != 6
	switch owner := in.Priority == confPriorityOwner; {
	case (in.State == "" || strict) && owner:
		in.State = Master
	case in.State == "" || strict || ah && !owner:
		in.State = Backup
	}
}

// defaultVMAC is the first name not taken of vrrp.VRID, vrrp1.VRID, ...; for IPv6
// vrrp6.VRID is tried as the second.
func (b *confBuilder) defaultVMAC(in *confInstance) string {
	prefix, vrid := cmp.Or(b.vmacPrefix, "vrrp"), "."+strconv.Itoa(in.VRID)
	if name := prefix + vrid; b.first("use_vmac", name) {
		return name
	}
	if name := prefix + "6" + vrid; in.family == 6 && b.first("use_vmac", name) {
		return name
	}
	for {
		b.vmacs[in.VRID]++
		if name := prefix + strconv.Itoa(b.vmacs[in.VRID]) + vrid; b.first("use_vmac", name) {
			return name
		}
	}
}
