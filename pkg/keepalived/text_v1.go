package keepalived

import "strings"

// What only 1.x prints. 1.3 has the scripts and interfaces that an instance tracks within
// the instance, again for each, and then goes on with the instance:
//
//	   Tracked interfaces = 1
//	------< NIC >------
//	 Name = eth1
//	 is UP
//	 weight = -10
//	   Tracked scripts = 1
//	 VRRP Script = check
//	   Status = GOOD
//	   Interface weight 0
//	   Virtual IP = 1
//
// 1.4 has each script once, in a block, and after them a block NIC for each interface.

// unendedWords are the fields after which 1.x forgets to end the line, so that the next
// one follows at once, with the number of words of their values.
var unendedWords = map[string]int{
	"   Master advert interval":         2, // 1.3
	"   Unicast checksum compatibility": 1, // 1.3
	" MAC":                              1, // 1.4
	" MAC broadcast":                    1, // 1.4
}

// splitUnended cuts the first line off what 1.x printed as one.
func splitUnended(line string) (first, rest string) {
	key, value, _ := strings.Cut(line, " = ")
	words := unendedWords[key]
	if words == 0 {
		return line, ""
	}
	end := 0
	for end < len(value) && !strings.HasPrefix(value[end:], "------<") {
		if value[end] == ' ' {
			words--
		}
		if words == 0 {
			break
		}
		end++
	}
	return line[:len(line)-len(value)+end], value[end:]
}

// endsUnended reports whether text ends as a dump of 1.3 does when its last instance is
// unicast.
func endsUnended(text string) bool {
	_, last, _ := cutLast(text, "\n")
	value, ok := strings.CutPrefix(last, "   Unicast checksum compatibility = ")
	switch value {
	case "no", "never", "config", "auto", "unknown":
		return ok
	}
	return false
}

// inInstance reports whether a block NIC that starts now is part of the open instance.
func (p *textParser) inInstance() bool {
	return p.instance != nil && (p.block == blockNIC || p.list == "Tracked interfaces" && p.pending > 0)
}

// parseV1 takes a line that has another meaning than in 2.x.
func (p *textParser) parseV1(indent int, key, value string) (taken bool, err *SyntaxError) {
	switch {
	case p.block == blockNIC && indent == 3 && p.instance != nil:
		p.block, p.object = blockTopology, p.instance
		return false, nil
	case p.block == blockNIC && key == "Name":
		if p.instance != nil {
			add(&p.instance.TrackedInterfaces, Tracked{Name: strings.Clone(value)})
		}
		p.object = once(p, &p.dump.Interfaces, Interface{Name: strings.Clone(value)})
	case p.block == blockNIC && key == "weight" && p.instance != nil:
		return true, p.parseV1Weight(p.instance.TrackedInterfaces, value)
	case p.block == blockTopology && key == "VRRP Script" && p.instance != nil:
		add(&p.instance.TrackedScripts, Tracked{Name: strings.Clone(value)})
		p.object = once(p, &p.dump.Scripts, Script{Name: strings.Clone(value)})
	case p.block == blockTopology && strings.HasPrefix(key, "Interface weight ") && p.instance != nil:
		p.object = p.instance
		return true, p.parseV1Weight(p.instance.TrackedScripts, strings.TrimPrefix(key, "Interface weight "))
	case p.block == blockNIC || key == "VRRP Version":
		return true, p.parseField(key, value)
	default:
		return false, nil
	}
	return true, nil
}

// parseV1Weight sets the weight of the tracker that was printed last.
func (p *textParser) parseV1Weight(tracked []Tracked, value string) (err *SyntaxError) {
	if len(tracked) == 0 {
		return nil
	}
	last := &tracked[len(tracked)-1]
	weight, reverse, werr := parseWeight(value)
	last.Weight, last.Reverse = weight, reverse
	return p.wrap("weight", werr)
}

// once appends v to what the dump has, and returns its place; if it has been printed
// before, v is only to be read over.
func once[T any, O interface {
	*T
	object
}](p *textParser, to *[]T, v T) object {
	title := O(&v).title()
	if p.printed[title] {
		return O(&v)
	}
	if p.printed == nil {
		p.printed = map[string]bool{}
	}
	p.printed[title] = true
	return O(add(to, v))
}
