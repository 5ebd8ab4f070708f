package source

import (
	"context"
)

// Internal has the messages that forwarder itself logs.
type Internal struct {
	Common

	lines chan []byte
}

// maxLines is how many messages of our own wait at most; more are not worth memory.
const maxLines = 1000

// Init checks the options.
func (i *Internal) Init() error {
	i.lines = make(chan []byte, maxLines)
	return i.Common.Init()
}

// Log hands over a line, a syslog message, unless too many wait.
func (i *Internal) Log(line []byte) {
	select {
	case i.lines <- line:
	default:
	}
}

// Open makes ready.
func (i *Internal) Open(in *Input) (Runner, error) {
	in.options.parser.NoHostname = true
	return &internal{in, i}, nil
}

type internal struct {
	*Input
	options *Internal
}

// Run reads until ctx ends.
func (i *internal) Run(ctx context.Context) error {
	r := i.newReader()
	defer r.end()
	for {
		select {
		case line := <-i.options.lines:
			r.begin()
			r.handle(line)
			r.flush()
		case <-ctx.Done():
			return nil
		}
	}
}
