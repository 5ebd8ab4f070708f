package main

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"kad/pkg/conf"
	"kad/pkg/keepalived"
)

// profilesFile is where profiles are looked for.
const profilesFile = "/etc/kad/track.toml"

// profiles is a track.toml: [profile.NAME] with a timeout and the checks by the names of their
// flags, with underscores. A value is that of the flag, a list of such, or for a flag that
// takes none, true.
type profiles struct {
	Profile map[string]map[string]any `toml:"profile"`

	file *conf.File
}

// profile is the part of a track.toml that a run of kad-track takes from it.
type profile struct {
	checks  checklist     // in the file's order
	timeout time.Duration // 0: not given
}

// loadProfile reads one profile of file. What is wrong with others is no matter to it.
func loadProfile(file, name string) (profile, error) {
	if err := keepalived.Secure(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return profile{}, err
	}
	p, err := loadProfiles(file)
	if errors.Is(err, fs.ErrNotExist) {
		return profile{}, fmt.Errorf("profile %q, which --profile or the name of the command asks for: there is no %s", name, file)
	}
	if err != nil {
		return profile{}, err
	}
	if _, ok := p.Profile[name]; !ok {
		return profile{}, fmt.Errorf("%s: there is no [profile.%s]%s", file, conf.Key(name), p.nearest(name))
	}
	return p.read(name), p.file.Err()
}

func loadProfiles(file string) (*profiles, error) {
	p := &profiles{}
	var err error
	p.file, err = conf.Load(file, p)
	return p, err
}

func (p *profiles) nearest(name string) string {
	var names []string
	for n := range p.Profile {
		names = append(names, n)
	}
	slices.Sort(names)
	if hint := conf.DidYouMean(name, names); hint != "" {
		return " (" + hint + ")"
	}
	return ""
}

// read returns the profile of that name and reports to the file what is wrong with it.
func (p *profiles) read(name string) profile {
	var read profile
	table := "profile." + conf.Key(name)
	for _, path := range p.file.Paths() {
		key, ok := strings.CutPrefix(path, table+".")
		if !ok || strings.ContainsAny(key, ".[") {
			continue
		}
		value := p.Profile[name][key]
		if key == "timeout" {
			read.timeout = p.duration(path, value)
			continue
		}
		i := slices.IndexFunc(kinds, func(k kind) bool { return k.key() == key })
		if i < 0 {
			p.unknown(path, key)
			continue
		}
		read.checks = append(read.checks, p.wants(path, &kinds[i], value)...)
	}
	return read
}

func (p *profiles) duration(path string, value any) time.Duration {
	text, ok := value.(string)
	d, err := time.ParseDuration(text)
	if !ok || err != nil || d <= 0 {
		p.file.Errorf(path, "found %v, want a duration such as \"500ms\" or \"2s\"", value)
	}
	return d
}

func (p *profiles) unknown(path, key string) {
	keys := []string{"timeout"}
	for _, k := range kinds {
		keys = append(keys, k.key())
	}
	p.file.Hintf(path, conf.DidYouMean(key, keys), "no such check")
}

// wants returns the checks that a value in a profile asks for.
func (p *profiles) wants(path string, k *kind, value any) checklist {
	if list, ok := value.([]any); ok {
		var all checklist
		for i, element := range list {
			all = append(all, p.wants(fmt.Sprintf("%s[%d]", path, i), k, element)...)
		}
		return all
	}
	var w wanted
	switch value := value.(type) {
	case string:
		w = wanted{k, value}
	case int64:
		w = wanted{k, strconv.FormatInt(value, 10)}
	case bool:
		if k.optional && value {
			return checklist{{kind: k}}
		}
		p.file.Errorf(path, "found %v, want %s, or a list of them", value, k.wants())
		return nil
	case map[string]any:
		p.file.Errorf(path, "found a table, want %s, or a list of them", k.wants())
		return nil
	default:
		p.file.Errorf(path, "found %v, want %s, or a list of them", value, k.wants())
		return nil
	}
	if _, err := k.parse(w.value, setting{}); err != nil {
		p.file.Errorf(path, "%q: %v", w.value, err)
		return nil
	}
	return checklist{w}
}
