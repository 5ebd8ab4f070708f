package atomicfile

import (
	"os"
	"path/filepath"
	"testing"
)

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "f")
	for _, text := range []string{"0\n", "1\n"} {
		if err := Write(file, text); err != nil {
			t.Fatal(err)
		}
		if got, _ := os.ReadFile(file); string(got) != text {
			t.Errorf("got %q, want %q", got, text)
		}
	}
	if info, _ := os.Stat(file); info.Mode().Perm() != 0o644 {
		t.Errorf("mode %v", info.Mode())
	}
	if err := Write(filepath.Join(dir, "none", "f"), "0\n"); err == nil {
		t.Error("no error in a directory that is not there")
	}
	if err := Write(dir, "0\n"); err == nil {
		t.Error("no error where a directory is")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "..", ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
