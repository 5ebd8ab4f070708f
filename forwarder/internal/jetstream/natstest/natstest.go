// Package natstest runs a nats-server with JetStream for a test.
package natstest

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"kad/pkg/testneed"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A Server is a nats-server on loopback, which keeps its port and its streams when it is started again.
type Server struct {
	URL string

	t      testing.TB
	dir    string
	config string
	port   int
	cmd    *exec.Cmd
}

// Start starts a server with more lines of configuration. It ends with the test, which is skipped without nats-server.
func Start(t testing.TB, config string) *Server {
	t.Helper()
	testneed.Program(t, "nats-server")
	s := &Server{t: t, dir: t.TempDir(), config: config, port: testneed.Port(t)}
	t.Cleanup(s.Kill)
	s.Restart()
	return s
}

// Restart starts the server, which does not run, anew.
func (s *Server) Restart() {
	s.t.Helper()
	file := filepath.Join(s.dir, "nats.conf")
	text := fmt.Sprintf("listen: \"127.0.0.1:%d\"\nports_file_dir: %q\njetstream { store_dir: %q }\n%s\n", s.port, s.dir, s.dir, s.config)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.cmd = exec.Command("nats-server", "-c", file, "-l", filepath.Join(s.dir, "log"))
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ports := filepath.Join(s.dir, fmt.Sprintf("nats-server_%d.ports", s.cmd.Process.Pid))
	for range 6000 {
		var found struct{ Nats []string }
		if data, err := os.ReadFile(ports); err == nil && json.Unmarshal(data, &found) == nil && len(found.Nats) > 0 {
			s.URL = found.Nats[0]
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
	s.t.Fatalf("nats-server is not up:\n%s", log)
}

// Configure changes what Start was given, for the next Restart.
func (s *Server) Configure(config string) { s.config = config }

// Kill kills the server.
func (s *Server) Kill() {
	if s.cmd != nil {
		_ = s.cmd.Process.Kill() // it may have ended
		_ = s.cmd.Wait()
		s.cmd = nil
	}
}

// JetStream connects to the server.
func (s *Server) JetStream(options ...nats.Option) jetstream.JetStream {
	s.t.Helper()
	conn, err := nats.Connect(s.URL, append(options, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		s.t.Fatal(err)
	}
	return js
}

// Config is that of a stream.
type Config = jetstream.StreamConfig

// Full is a stream that takes a number of messages and refuses the rest.
func Full(messages int64) Config {
	return Config{Name: "LOGS", Subjects: []string{"logs.>"}, MaxMsgs: messages, Discard: jetstream.DiscardNew}
}

// Stream makes a stream, "LOGS" of "logs.>" if its name is empty.
func (s *Server) Stream(config Config) jetstream.Stream {
	s.t.Helper()
	if config.Name == "" {
		config.Name, config.Subjects = "LOGS", []string{"logs.>"}
	}
	stream, err := s.JetStream().CreateStream(s.t.Context(), config)
	if err != nil {
		s.t.Fatal(err)
	}
	return stream
}

// NoAcknowledgement is a policy of consumers that a forwarder cannot use.
const NoAcknowledgement = jetstream.AckNonePolicy

// Consumer makes a durable consumer of the stream LOGS.
func (s *Server) Consumer(name string, policy jetstream.AckPolicy) error {
	_, err := s.JetStream().CreateConsumer(s.t.Context(), "LOGS", jetstream.ConsumerConfig{Durable: name, AckPolicy: policy})
	return err
}

// A Reader is a stream that can be read.
type Reader = jetstream.Stream

// Read returns all that a stream has.
func Read(t testing.TB, stream Reader) (list []*jetstream.RawStreamMsg) {
	t.Helper()
	info, err := stream.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for n := info.State.FirstSeq; n <= info.State.LastSeq; n++ {
		m, err := stream.GetMsg(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, m)
	}
	return list
}

// Message makes a message with a header.
func Message(subject, text, header, value string) *nats.Msg {
	return &nats.Msg{Subject: subject, Data: []byte(text), Header: nats.Header{header: {value}}}
}
