package keepalived

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// ConfigSource says where a running keepalived's configuration was read from.
type ConfigSource struct {
	Loaded bool   `json:"loaded"` // keepalived's own copy of what it has loaded (>= 2.2.0); else its files, which may be newer
	Path   string `json:"path"`   // of the copy, or of the first file as keepalived sees it
}

func (s ConfigSource) String() string {
	if s.Loaded {
		return "keepalived's loaded configuration"
	}
	return s.Path
}

// maxConfig is the most bytes that are read of a loaded configuration.
const maxConfig = 64 << 20

// Config returns the configuration that p has loaded; when p keeps no copy of it, or it
// cannot be read, what p's files say now. After a rejected reload (reload_check_config)
// the copy of keepalived 2.2 is the rejected text: trust neither source for an instance
// that the dump has and Config has not.
func (p *Process) Config() (*Config, ConfigSource, error) {
	if p.denied != nil {
		return nil, ConfigSource{}, because(ErrPermission, "keepalived %d: %w, reading its configuration needs root", p.PID, p.denied)
	}
	loaded := ConfigSource{Loaded: true, Path: p.loaded}
	c, loadedErr := p.loadedConfig()
	if c != nil {
		return c, loaded, nil
	}
	file := ConfigSource{Path: p.ConfigFile}
	c, err := LoadConfig(p.ConfigFile, p.configOptions())
	if err != nil {
		return nil, file, errors.Join(loadedErr, err)
	}
	return c, file, nil
}

// configCache is the last loaded configuration, good while the file is the same.
type configCache struct {
	file   fs.FileInfo
	config *Config
}

func (c configCache) holds(file fs.FileInfo) bool {
	return c.file != nil && os.SameFile(c.file, file) && c.file.Size() == file.Size() && c.file.ModTime().Equal(file.ModTime())
}

// loadedConfig returns nil and no error when there is no copy.
func (p *Process) loadedConfig() (*Config, error) {
	if p.loaded == "" {
		return nil, nil
	}
	f, err := os.Open(p.loaded)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if p.cache.holds(info) {
		return p.cache.config, nil
	}
	text, err := io.ReadAll(io.LimitReader(f, maxConfig))
	if err != nil {
		return nil, err
	}
	if !bytes.HasSuffix(text, []byte("!\n")) { // its last line, lib/parser.c
		return nil, fmt.Errorf("%s: incomplete, keepalived is reloading", p.loaded)
	}
	c, err := ParseConsolidated(text, p.ConfigFile, p.configOptions())
	if err != nil {
		return nil, err
	}
	p.cache = configCache{info, c}
	return c, nil
}

func (p *Process) configOptions() ConfigOptions {
	return ConfigOptions{Root: p.Root(), HostID: p.HostID, Env: p.env}
}

// isLoadedConfig knows the copy by the text of its link: a memfd, or where keepalived may
// not use one an unnamed file in tmp_config_directory or /run (lib/parser.c).
func isLoadedConfig(link string) bool {
	name, deleted := strings.CutSuffix(link, " (deleted)")
	number, unnamed := strings.CutPrefix(filepath.Base(name), "#")
	return deleted && (name == "/memfd:/keepalived/consolidated_configuration" ||
		unnamed && number != "" && strings.Trim(number, "0123456789") == "")
}

// env looks up p's environment as it was at its start.
func (p *Process) env(name string) string {
	data, _ := os.ReadFile(p.proc.path(p.PID, "environ"))
	for v := range strings.SplitSeq(string(data), "\x00") {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	return ""
}

// readCommandLine reads the options that p was started with.
func (p *Process) readCommandLine() {
	data, _ := os.ReadFile(p.proc.path(p.PID, "cmdline"))
	args := strings.Split(strings.TrimSuffix(string(data), "\x00"), "\x00")
	p.options = parseOptions(args[1:])
	p.NetNamespace = p.options["s"]
	p.ConfigFile = cmp.Or(p.options["f"], DefaultConfig)
	if !filepath.IsAbs(p.ConfigFile) {
		cwd, _ := os.Readlink(p.proc.path(p.PID, "cwd"))
		p.ConfigFile = filepath.Join("/", cwd, p.ConfigFile)
	}
	p.HostID = p.options["i"]
	if p.HostID == "" {
		p.HostID, _, _ = strings.Cut(p.proc.nodeName(p.PID), ".")
	}
}

// longOptions are those with an argument that interest us (core/main.c, parse_cmdline).
var longOptions = map[string]string{"use-file": "f", "vrrp_pid": "r", "namespace": "s", "config-id": "i"}

// parseOptions does what getopt_long(3) does with keepalived's options, and returns
// those with an argument by their letter.
func parseOptions(args []string) map[string]string {
	options := map[string]string{}
	for i := 0; i < len(args); i++ {
		next := func() string {
			i++
			if i < len(args) {
				return args[i]
			}
			return ""
		}
		if long, ok := strings.CutPrefix(args[i], "--"); ok {
			name, value, given := strings.Cut(long, "=")
			if letter := longOptions[name]; letter != "" && given {
				options[letter] = value
			} else if letter != "" {
				options[letter] = next()
			}
			continue
		}
		letters, ok := strings.CutPrefix(args[i], "-")
		for j := 0; ok && j < len(letters); j++ {
			switch rest := letters[j+1:]; {
			case strings.ContainsRune("gMt", rune(letters[j])): // an argument may be attached
				j = len(letters)
			case !strings.ContainsRune("fSuprcbAsi", rune(letters[j])):
			case rest != "":
				options[letters[j:j+1]] = rest
				j = len(letters)
			default:
				options[letters[j:j+1]] = next()
			}
		}
	}
	return options
}

// nodeName returns the host name that pid has, which in a container is not ours; ours
// when we may not look.
func (proc procFS) nodeName(pid int) string {
	const kind = "ns/uts"
	own, err := os.Readlink(filepath.Join(string(proc), "self", kind))
	its, err2 := os.Readlink(proc.path(pid, kind))
	if err == nil && err2 == nil && own != its {
		if name := nodeNameIn(proc.path(pid, kind)); name != "" {
			return name
		}
	}
	name, _ := os.Hostname()
	return name
}

// nodeNameIn enters the UTS namespace on a goroutine of its own, whose thread ends with
// it when the way back is shut.
func nodeNameIn(namespace string) string {
	name := make(chan string)
	go func() {
		runtime.LockOSThread()
		var u unix.Utsname
		own, err := os.Open("/proc/thread-self/ns/uts")
		if err == nil {
			defer own.Close()
			if setUTS(namespace) == nil {
				err = errors.Join(unix.Uname(&u), unix.Setns(int(own.Fd()), unix.CLONE_NEWUTS))
			}
		}
		if err == nil {
			runtime.UnlockOSThread()
		}
		name <- unix.ByteSliceToString(u.Nodename[:])
	}()
	return <-name
}

func setUTS(namespace string) error {
	ns, err := os.Open(namespace)
	if err != nil {
		return err
	}
	defer ns.Close()
	return unix.Setns(int(ns.Fd()), unix.CLONE_NEWUTS)
}
