package pattern

import (
	"strings"
	"testing"
)

func TestMatch(t *testing.T) {
	tests := []struct {
		pattern string
		yes, no []string
	}{
		{"user.registered", []string{"user.registered"}, []string{"", "user", "user.registered.", "xuser.registered"}},
		{"*", []string{"", "a", ".", "a.b.c"}, nil},
		{"**", []string{"", "a", ".", "a.b.c"}, nil},
		{"***", []string{"", "a", ".", "a.b.c"}, nil},
		{"login.*", []string{"login.", "login.ok"}, []string{"login", "login.ok.x", "xlogin.ok"}},
		{"login.**", []string{"login.", "login.ok", "login.ok.x"}, []string{"login", "logi.ok"}},
		{"*.deleted", []string{".deleted", "user.deleted"}, []string{"a.user.deleted", "deleted"}},
		{"**.deleted", []string{".deleted", "a.user.deleted"}, []string{"deleted", "a.deleted."}},
		{"*.*", []string{".", "a.b"}, []string{"a", "a.b.c"}},
		{"*.**", []string{".", "a.b", "a.b.c"}, []string{"a", ""}},
		{"a*a", []string{"aa", "aba", "aaa"}, []string{"a", "a.a", "ab"}},
		{"a*b*c", []string{"abc", "abbc", "abcbc"}, []string{"ab.c", "a.bc", "abcb"}},
		{"**a*b", []string{"ab", "x.ab", "a.a.ab", "a.axb", "aab"}, []string{"a.b", "ab."}},
		{"**a.*b*c**", []string{"a.bc", "a.a.xbxc.x", "a.ba.a.bc"}, []string{"a.b.c", "a..bc"}},
		{"**aba*c", []string{"ababac", "ab.abac"}, []string{"aba.c", "abab.c"}},
		{"*a**a*", []string{"aa", "a.a", "xax.xax"}, []string{"a", ".a.a", "a.a."}},
		{"private-user.*", []string{"private-user.1"}, []string{"private-user", "presence-user.1"}},
	}
	for _, tt := range tests {
		t.Run(tt.pattern, func(t *testing.T) {
			p := mustParse(t, tt.pattern)
			for _, name := range tt.yes {
				if !p.Match(name) {
					t.Errorf("does not match %q", name)
				}
			}
			for _, name := range tt.no {
				if p.Match(name) {
					t.Errorf("matches %q", name)
				}
			}
		})
	}
}

func TestZeroPatternMatchesNothing(t *testing.T) {
	for _, name := range []string{"", "a", "."} {
		if (Pattern{}).Match(name) {
			t.Errorf("matches %q", name)
		}
	}
}

func TestMatchDoesNotAllocate(t *testing.T) {
	patterns := []Pattern{
		mustParse(t, "user.registered"), mustParse(t, "*"), mustParse(t, "user.*"), mustParse(t, "**a*r.*is**d"),
	}
	n := testing.AllocsPerRun(100, func() {
		for _, p := range patterns {
			p.Match("user.registered")
		}
	})
	if n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

// hostile are pairs that make a matcher which tries every wildcard again take forever.
var hostile = []struct{ name, pattern, subject string }{
	{"stars", strings.Repeat("a*", 98) + "b*", strings.Repeat("a", 200)},
	{"double stars", strings.Repeat("a**", 65) + "b**", strings.Repeat("a", 200)},
	{"star after double star", "**a*" + strings.Repeat("a", 90) + "b**", strings.Repeat("a", 198) + ".b"},
	{"dots", "**" + strings.Repeat(".*", 90) + "b**", strings.Repeat(".", 199) + "b"},
	{"dots and letters", "**" + strings.Repeat("a.*", 60) + "b**", strings.Repeat("a.", 99) + "b"},
	{"late dot", "**" + strings.Repeat("a*", 49) + "." + strings.Repeat("a*", 48) + "b**", strings.Repeat("a.", 99) + "b"},
}

func BenchmarkMatch(b *testing.B) {
	usual := []struct{ name, pattern, subject string }{
		{"exact", "user.registered", "user.registered"},
		{"prefix", "user.*", "user.registered"},
		{"inside", "**.user.*.done", "eu.app.user.registration.done"},
	}
	for _, bb := range append(usual, hostile...) {
		b.Run(bb.name, func(b *testing.B) {
			p := mustParse(b, bb.pattern)
			for b.Loop() {
				p.Match(bb.subject)
			}
		})
	}
}

func FuzzMatch(f *testing.F) {
	for _, h := range hostile {
		f.Add(h.pattern, h.subject)
	}
	f.Add("**a.*b*a**", "a.a.xbxa.x")
	f.Add("*a**a*", "b.a.a")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		pattern = fold(pattern, "ab.*", 14)
		name = fold(name, "ab.x", 14)
		p, err := Parse(pattern)
		if err != nil {
			t.Skip(err)
		}
		if got, want := p.Match(name), naive(pattern, name); got != want {
			t.Errorf("%q matches %q: got %v, want %v", pattern, name, got, want)
		}
	})
}

func FuzzParseTemplate(f *testing.F) {
	f.Add("user.{sub}", "*")
	f.Add("{sub}**{sub}", `\{sub}`)
	f.Add("*", "")
	f.Add("a\xffb{", "\x00")
	f.Fuzz(func(t *testing.T, template, sub string) {
		p, err := ParseTemplate(template, sub)
		if err != nil {
			return
		}
		if !p.Covers(p) {
			t.Errorf("%q does not cover itself", p)
		}
		// With every wildcard matching nothing, what is left is the literals.
		var own strings.Builder
		for i, piece := range strings.Split(template, "{sub}") {
			if i > 0 {
				own.WriteString(sub)
			}
			own.WriteString(strings.ReplaceAll(piece, "*", ""))
		}
		if !p.Match(own.String()) {
			t.Errorf("%q of user %q does not match %q", template, sub, own.String())
		}
		if q, err := Parse(p.String()); err == nil && !p.Covers(q) {
			t.Errorf("%q of user %q means more when it is read again", template, sub)
		}
	})
}

// naive is Match as the definition has it.
func naive(pattern, name string) bool {
	if pattern == "*" {
		return true
	}
	return naiveRest(pattern, name)
}

func naiveRest(pattern, name string) bool {
	rest := strings.TrimLeft(pattern, "*")
	switch len(pattern) - len(rest) {
	case 0:
		if pattern == "" {
			return name == ""
		}
		return name != "" && name[0] == pattern[0] && naiveRest(pattern[1:], name[1:])
	case 1:
		return naiveRest(rest, name) || name != "" && name[0] != '.' && naiveRest(pattern, name[1:])
	default:
		return naiveRest(rest, name) || name != "" && naiveRest(pattern, name[1:])
	}
}

// fold maps s into the alphabet and cuts it, so that what a fuzzer changes means something.
func fold(s, alphabet string, length int) string {
	folded := []byte(s[:min(len(s), length)])
	for i, c := range folded {
		if strings.IndexByte(alphabet, c) < 0 {
			folded[i] = alphabet[int(c)%len(alphabet)]
		}
	}
	return string(folded)
}
