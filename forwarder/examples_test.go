package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const examples = "../examples/forwarder"

// TestExamples checks each example, converted or not.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(examples, "*.toml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	files = append(files, "../examples/pair/forwarder.toml", "../examples/pair/client.toml")
	// it shows that drop_unmatched leaves nothing to a fallback statement
	warned := map[string]string{"embedded.toml": "log.d_rest: no message comes here: log.d_all processes all of them"}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			code, stdout, stderr := forwarder(t, "", "check", "--no-environment", "--config", file)
			want := warned[filepath.Base(file)]
			if code != 0 || stdout != "" || want == "" && stderr != "" || !strings.Contains(stderr, want) || strings.Count(stderr, "warning: ") > 1 {
				t.Errorf("code %d\n%s%s", code, stdout, stderr)
			}
		})
	}
}

// TestConvertedExamples: an example is the syslog-ng.conf as a comment, and what convert makes of it.
func TestConvertedExamples(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(examples, "*.conf"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			original, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			code, stdout, stderr := forwarder(t, "", "convert", file)
			if code != 0 || stderr != "" {
				t.Fatalf("code %d\n%s", code, stderr)
			}
			converted := commented(string(original)) + "\n" + strings.ReplaceAll(stdout, examples+"/", "")
			name := strings.TrimSuffix(file, ".conf") + ".toml"
			if *update {
				if err := os.WriteFile(name, []byte(converted), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if got, err := os.ReadFile(name); err != nil || string(got) != converted {
				t.Errorf("%v, got\n%s\nwant\n%s", err, got, converted)
			}
		})
	}
}

func commented(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if line == "\n" {
			b.WriteString("#\n")
		} else {
			b.WriteString("#     " + line)
		}
	}
	return b.String()
}
