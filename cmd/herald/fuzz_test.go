package main

import (
	"math"
	"slices"
	"strings"
	"testing"
)

// FuzzSettingsFile: no file makes the reader panic, everything that is wrong has a line, and no message
// quotes a secret.
func FuzzSettingsFile(f *testing.F) {
	for _, text := range []string{
		"", "# nothing\n", "addr: :8080\n", "jwt_secret: [a, b]\nauth_secret: &x y\n", "api_keys:\n- {name: ci, key: 0123456789abcdef, scopes: '*'}\n",
		"a: b: c\n", "- a\n", "api_key: |\n  xyzzy\n", "api_keys: [[]]\n", "? a\n: b\n", "<<: {a: b}\n", "addr: !!str 1\n", "---\n---\n", "\"\\u0000\": x\n", "{a: }", "api_keys:\n- name:\n  key: *x\n",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		file := &settingsFile{name: "herald.yaml", settings: layer{}}
		file.read([]byte(text))
		for _, p := range file.problems {
			if !strings.HasPrefix(p.from, "herald.yaml:") {
				t.Errorf("%q: got %v, want a line", text, p)
			}
		}
		for key := range file.settings {
			settingByKey(key) // panics if there is none
		}
	})
}

func FuzzList(f *testing.F) {
	for _, text := range []string{"", ",", "a", "a,b", " a , b ", "a%2Cb", "%2c,%", "%252C"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		entries, err := asList(text)
		if err != nil {
			return
		}
		again, err := asList(joinList(entries))
		for i, entry := range entries {
			entries[i] = strings.TrimSpace(entry)
		}
		// A literal %2C cannot be written: it is always a comma. What has one changes no more after that.
		if err != nil || !slices.Equal(entries, again) && !strings.Contains(strings.ToUpper(strings.Join(entries, "")), "%2C") {
			t.Errorf("%q: got %q and then %q, %v", text, entries, again, err)
		}
	})
}

func FuzzSize(f *testing.F) {
	for _, text := range []string{"1", "64KB", "1MiB", "1 mib", "9999999999GiB", "-1", "1B", "B", "", "2GiB", "0x10"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if n, err := asSize(text); err == nil && (n < 1 || n > math.MaxInt32) {
			t.Errorf("%q: got %d, want 1 to %d", text, n, math.MaxInt32)
		}
	})
}

func TestSize(t *testing.T) {
	for text, want := range map[string]int{"1": 1, "1048576": 1 << 20, "1B": 1, "64KB": 64000, "64KiB": 64 << 10, "1MiB": 1 << 20, "1mib": 1 << 20, "2 MB": 2e6, "1GiB": 1 << 30} {
		if got, err := asSize(text); err != nil || got != want {
			t.Errorf("%q: got %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0", "MiB", "1.5MiB", "-1KB", "2GiB", "99999999999999999999", "1 KiBB", "1K"} {
		if got, err := asSize(text); err == nil {
			t.Errorf("%q: got %d, want an error", text, got)
		}
	}
}
