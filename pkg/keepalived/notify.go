package keepalived

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// EventKind is what an event is about, in keepalived's word.
type EventKind string

// The first words of notify scripts' arguments and of FIFO lines (vrrp/vrrp_notify.c,
// check/ipwrapper.c). Virtual and real servers are only in the FIFOs.
const (
	InstanceEvent      EventKind = "INSTANCE"
	GroupEvent         EventKind = "GROUP"
	VirtualServerEvent EventKind = "VS"
	RealServerEvent    EventKind = "RS"
)

// Words that only FIFO lines have at the place of the state.
const (
	MasterRxLowerPri State = "MASTER_RX_LOWER_PRI" // as MASTER heard an advert of lower priority
	MasterPriority   State = "MASTER_PRIORITY"     // notify_priority_changes: the priority changed
	BackupPriority   State = "BACKUP_PRIORITY"
	ServerUp         State = "UP"
	ServerDown       State = "DOWN"
)

// Event is what keepalived tells a notify script or writes to a notify FIFO.
type Event struct {
	Kind          EventKind
	Name          string // of the instance, group or server, e.g. VI_1, [192.0.2.1]:tcp:514
	VirtualServer string // that a real server is of
	State         State
	Priority      int // effective priority, 0 for a group; -1 when there is none
}

// Transition reports whether an instance or a group entered State; else it only had an
// event in it, or the event is about a server.
func (e Event) Transition() bool {
	switch e.State {
	case Master, Backup, Fault, Stop, Deleted:
		return true
	}
	return false
}

// ParseNotifyArgs reads what keepalived appends to a notify script's own arguments,
// INSTANCE|GROUP NAME STATE PRIORITY, from the end of args. The priority may be missing.
func ParseNotifyArgs(args []string) (Event, error) {
	e, err := parseLastArgs(args)
	if err != nil {
		return Event{}, fmt.Errorf("notify arguments %s: %w", quote(strings.Join(args, " ")), err)
	}
	return e, nil
}

func parseLastArgs(args []string) (Event, error) {
	end := len(args)
	short := end >= 3 && isVRRPKind(args[end-3])
	if end >= 4 && isVRRPKind(args[end-4]) {
		e, err := vrrpEvent(args[end-4], args[end-3], args[end-2], args[end-1])
		if err == nil || !short {
			return e, err
		}
	}
	if !short {
		return Event{}, errors.New("want INSTANCE|GROUP NAME STATE PRIORITY at the end")
	}
	e, err := vrrpEvent(args[end-3], args[end-2], args[end-1], "0")
	if err != nil {
		return Event{}, err
	}
	e.Priority = -1
	return e, nil
}

func isVRRPKind(word string) bool {
	return word == string(InstanceEvent) || word == string(GroupEvent)
}

// vrrpEvent builds the event of an instance or a group; also are words that may stand at
// the place of the state.
func vrrpEvent(kind, name, state, priority string, also ...State) (Event, error) {
	e := Event{Kind: EventKind(kind), Name: name, State: State(state)}
	if name == "" {
		return Event{}, errors.New("there is no name")
	}
	if !e.Transition() && !slices.Contains(also, e.State) {
		return Event{}, fmt.Errorf("state %s is not MASTER, BACKUP, FAULT, STOP or DELETED", quote(state))
	}
	var err error
	if e.Priority, err = parseInt(priority, 0, 255); err != nil {
		return Event{}, fmt.Errorf("priority %w", err)
	}
	return e, nil
}

// Args returns the arguments that ParseNotifyArgs reads as e.
func (e Event) Args() []string {
	args := []string{string(e.Kind), e.Name, string(e.State)}
	if e.Priority >= 0 {
		args = append(args, strconv.Itoa(e.Priority))
	}
	return args
}

// ParseNotifyLine reads one line of a notify FIFO, with or without its line end:
//
//	INSTANCE "NAME" STATE PRIORITY     (or GROUP)
//	VS [192.0.2.1]:tcp:514 UP
//	RS [192.0.2.2]:tcp:514 [192.0.2.1]:tcp:514 DOWN
//
// A name is in quotes but not escaped, so it is what is between the first quote and the
// last.
func ParseNotifyLine(line []byte) (Event, error) {
	text := strings.TrimSuffix(string(line), "\n")
	e, err := parseNotifyLine(text)
	if err != nil {
		return Event{}, fmt.Errorf("notify line %s: %w", quote(text), err)
	}
	return e, nil
}

func parseNotifyLine(text string) (Event, error) {
	if strings.Contains(text, "\n") {
		return Event{}, errors.New("there is a line end in it")
	}
	kind, rest := cutWord(text)
	switch EventKind(kind) {
	case InstanceEvent, GroupEvent:
		rest, priority, _ := cutLast(rest, " ")
		name, state, ok := cutLast(rest, " ")
		if !ok || len(name) < 2 || name[0] != '"' || name[len(name)-1] != '"' {
			return Event{}, errors.New(`want "NAME" STATE PRIORITY`)
		}
		return vrrpEvent(kind, name[1:len(name)-1], state, priority, MasterRxLowerPri, MasterPriority, BackupPriority)
	case VirtualServerEvent:
		name, state, _ := cutLast(rest, " ")
		return serverEvent(Event{Kind: VirtualServerEvent, Name: name, State: State(state), Priority: -1})
	case RealServerEvent:
		rest, state, _ := cutLast(rest, " ")
		name, of, _ := strings.Cut(rest, " ")
		if of == "" {
			return Event{}, errors.New("there is no virtual server")
		}
		return serverEvent(Event{Kind: RealServerEvent, Name: name, VirtualServer: of, State: State(state), Priority: -1})
	}
	return Event{}, errors.New("want INSTANCE, GROUP, VS or RS")
}

func serverEvent(e Event) (Event, error) {
	if e.Name == "" {
		return Event{}, errors.New("there is no server")
	}
	if e.State != ServerUp && e.State != ServerDown {
		return Event{}, fmt.Errorf("state %s is not UP or DOWN", quote(string(e.State)))
	}
	return e, nil
}

// Append appends the FIFO line that ParseNotifyLine reads as e, with its line end.
func (e Event) Append(b []byte) []byte {
	switch e.Kind {
	case VirtualServerEvent:
		return fmt.Appendf(b, "%s %s %s\n", e.Kind, e.Name, e.State)
	case RealServerEvent:
		return fmt.Appendf(b, "%s %s %s %s\n", e.Kind, e.Name, e.VirtualServer, e.State)
	}
	return fmt.Appendf(b, "%s \"%s\" %s %d\n", e.Kind, e.Name, e.State, max(e.Priority, 0))
}

// String returns e as a FIFO line without its line end.
func (e Event) String() string { return strings.TrimSuffix(string(e.Append(nil)), "\n") }
