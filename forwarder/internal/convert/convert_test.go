package convert

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestGolden converts each x.conf of testdata and compares with x.toml and x.diags.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.conf")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			result := Convert(file, text, Options{Partial: true})
			var diags strings.Builder
			for _, d := range result.Diagnostics {
				diags.WriteString(d.String() + "\n")
			}
			base := strings.TrimSuffix(file, ".conf")
			compare(t, base+".toml", string(result.TOML))
			compare(t, base+".diags", diags.String())
			strict := Convert(file, text, Options{})
			if strict.Failed != (strict.TOML == nil) {
				t.Errorf("failed is %v, and yet there are %d bytes of TOML", strict.Failed, len(strict.TOML))
			}
		})
	}
}

func compare(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
	}
}

// corpus is the directory of the routing cases, which is the module's own unless KAD_TESTDATA names another.
func corpus() string {
	if dir := os.Getenv("KAD_TESTDATA"); dir != "" {
		return filepath.Join(dir, "routing")
	}
	return "../../testdata/routing"
}

// FuzzConvert: whatever the input, the conversion ends; there is TOML or an error, never both nor none; and the TOML is TOML.
func FuzzConvert(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.conf")
	cases, _ := filepath.Glob(corpus() + "/*/syslog-ng.conf")
	for _, file := range append(files, cases...) {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte("@version: 3.38\nblock source a(x()) { a(x(1)); a(x(`x`)); };\nsource s { a(x(2)); };"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if bytes.Contains(text, []byte("include")) {
			return // reads files
		}
		result := Convert("fuzz.conf", text, Options{})
		if result.Failed != (result.TOML == nil) {
			t.Fatalf("failed is %v, and yet there are %d bytes of TOML", result.Failed, len(result.TOML))
		}
		for _, d := range result.Diagnostics {
			if d.Message == "" || d.Pos.Line < 1 || !strings.HasPrefix(d.String(), d.Pos.String()) {
				t.Fatalf("diagnostic %+v", d)
			}
		}
		result = Convert("fuzz.conf", text, Options{Partial: true})
		var v map[string]any
		if _, err := toml.Decode(string(result.TOML), &v); err != nil {
			t.Fatalf("%q became\n%s\n%v", text, result.TOML, err)
		}
	})
}
