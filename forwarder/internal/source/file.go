package source

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"kad/forwarder/internal/option"
	"kad/pkg/syslog"
)

// File reads files and what is appended to them, over restarts and rotations.
type File struct {
	Common
	Path       string          `toml:"path"` // with a pattern in its last part
	FollowFreq option.Duration `toml:"follow_freq"`
	ReadOld    bool            `toml:"read_old_records"` // from the beginning when no position is known

	stateDir string
}

func newFile(g *option.Globals) Driver {
	return &File{Common: common(g), FollowFreq: option.Duration(time.Second), ReadOld: true, stateDir: filepath.Join(g.State(), "file")}
}

// Init checks the options.
func (f *File) Init() error {
	if f.Path == "" {
		return option.Errorf("path", "the path of a file is required")
	}
	if _, err := filepath.Match(filepath.Base(f.Path), ""); err != nil {
		return option.Errorf("path", "%q is not a pattern", f.Path)
	}
	if f.FollowFreq < option.Duration(time.Millisecond) {
		return option.Errorf("follow_freq", "%v is below the minimum 1ms", time.Duration(f.FollowFreq))
	}
	return f.Common.Init()
}

// Open makes ready; the files need not be there yet.
func (f *File) Open(in *Input) (Runner, error) {
	return &follower{Input: in, options: f, files: map[fileID]*followed{}}, nil
}

// Stdin reads standard input to its end.
type Stdin struct{ Common }

// Open makes ready.
func (s *Stdin) Open(in *Input) (Runner, error) { return &stdin{in, s}, nil }

type stdin struct {
	*Input
	options *Stdin
}

// Run reads to the end, or until ctx ends.
func (s *stdin) Run(ctx context.Context) error {
	done := make(chan error, 1)
	go func() {
		r := s.newReader()
		defer r.end()
		done <- r.stream(os.Stdin, syslog.Framer{MaxSize: s.options.LogMsgSize, KeepEmpty: s.options.header.EmptyLines})
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done(): // a read of a terminal cannot be ended, the process will
		return nil
	}
}
