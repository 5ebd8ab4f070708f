package main

import (
	"os"
	"path/filepath"
	"testing"

	"kad/pkg/testneed"

	"golang.org/x/sys/unix"
)

func TestNotIfExists(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "drain")
	expect(t, "", "--not-if-exists", file)
	write(t, file, "")
	expect(t, "--not-if-exists "+file+": the file exists: this host is drained", "--not-if-exists", file)
	expect(t, "not a directory", "--not-if-exists", filepath.Join(file, "x"))
	os.Remove(file)
	if err := os.Symlink("/nowhere", file); err != nil {
		t.Fatal(err)
	}
	expect(t, "the file exists: this host is drained", "--not-if-exists", file)
}

func TestDisk(t *testing.T) {
	testneed.Root(t, "to mount a small file system")
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		testneed.That(t, false, "a file system: "+err.Error())
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	expect(t, "", "--disk", dir+"=1MiB")
	expect(t, "", "--disk", dir+"=100%")
	expect(t, "1 MiB free, want 1.001 MiB", "--disk", dir+"=1025K")
	if err := os.WriteFile(filepath.Join(dir, "full"), make([]byte, 256<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	expect(t, "", "--disk", dir+"=75%")
	expect(t, "768 KiB free, want 788.4 KiB", "--disk", dir+"=77%")
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	expect(t, "mounted read-only", "--disk", dir+"=1K")
	expect(t, "no such file or directory", "--disk", dir+"/none=1K")
	expect(t, "want PATH=MINFREE", "--disk", dir)
}

func TestParseFree(t *testing.T) {
	tests := []struct {
		in      string
		number  uint64
		percent bool
		ok      bool
	}{
		{"0", 0, false, true},
		{"512", 512, false, true},
		{"512B", 512, false, true},
		{"10K", 10 << 10, false, true},
		{"10KiB", 10 << 10, false, true},
		{"10KB", 10 << 10, false, true},
		{"3M", 3 << 20, false, true},
		{"2GiB", 2 << 30, false, true},
		{"1Ti", 1 << 40, false, true},
		{"10%", 10, true, true},
		{"100%", 100, true, true},
		{in: "101%"},
		{in: ""},
		{in: "%"},
		{in: "GiB"},
		{in: "-1"},
		{in: "1.5GiB"},
		{in: "1iB"},
		{in: "1KM"},
		{in: "1kB"},
		{in: "10%B"},
		{in: "99999999999T"},
	}
	for _, tt := range tests {
		number, percent, err := parseFree(tt.in)
		if number != tt.number || percent != tt.percent || (err == nil) != tt.ok {
			t.Errorf("%q: got %d, %v, %v", tt.in, number, percent, err)
		}
	}
}
