package pattern

import (
	"slices"
	"strings"
	"testing"
)

func TestCovers(t *testing.T) {
	tests := []struct {
		p       string
		yes, no []string
	}{
		{"*", []string{"*", "**", "a", "a.b", "**.a", "*.*"}, nil},
		{"**", []string{"*", "**", "***", "*.**.*"}, nil},
		{"login.*", []string{"login.*", "login.ok", "login.a*", "login."}, []string{"login.**", "*", "login*", "login.*.*", "l*.ok"}},
		{"login.**", []string{"login.*", "login.**", "login.*.*", "login.**.x"}, []string{"login**", "*.**", "login"}},
		{"*.**", []string{"**.a", "*.*", "**.**", "a.**", "*.a*"}, []string{"**", "**a", "a**", "a"}},
		{"**.**", []string{"*.**", "**.*", "*.*.*"}, []string{"a*", "**a"}},
		{"*.*", []string{"a.b", "a*.*b", "*.b"}, []string{"**.*", "*.**", "*.*.*", "*"}},
		{"**a", []string{"*a", "**a", "**.a", "b**aa", "*.*a"}, []string{"a*", "**", "**a*"}},
		{"**a**", []string{"*a", "a*", "**a", "xax", "*a*"}, []string{"*", "*b*"}},
		{"**a**a**", []string{"a*a", "aa", "*a*b*a*"}, []string{"*a*", "a", "a**b"}},
		{"**ab**", []string{"**aab", "*abab*"}, []string{"**a*b**", "a**b"}},
		{"a*b", []string{"ab", "a*bb", "aa*b"}, []string{"a**b", "a*", "a*.*b"}},
		{"a.b", []string{"a.b"}, []string{"a.*", "a*", "a.bb", "*"}},
		{"**.*", []string{"*.*", "**.a", "**.**"}, []string{"**", "a*"}},
		{"user.*.done", []string{"user.x.done", "user.a*.done"}, []string{"user.**.done", "user.*.d*"}},
	}
	for _, tt := range tests {
		p := mustParse(t, tt.p)
		t.Run(tt.p, func(t *testing.T) {
			for _, q := range tt.yes {
				if !p.Covers(mustParse(t, q)) {
					t.Errorf("does not cover %q", q)
				}
			}
			for _, q := range tt.no {
				if p.Covers(mustParse(t, q)) {
					t.Errorf("covers %q", q)
				}
			}
		})
	}
}

func TestCoversLiteralUser(t *testing.T) {
	mine := mustTemplate(t, "user.{sub}.**", "a.b")
	for q, want := range map[string]bool{
		"user.a.b.*": true, "user.a.b.**": true, "user.a.b.x": true,
		"user.a.*": false, "user.a.b*": false, "user.**": false,
	} {
		if got := mine.Covers(mustParse(t, q)); got != want {
			t.Errorf("%q covers %q: got %v, want %v", mine, q, got, want)
		}
	}
	long := mustTemplate(t, "user.{sub}.*", strings.Repeat("x", 4000))
	if !long.Covers(long) {
		t.Error("a pattern longer than any name does not cover itself")
	}
	if other := mustTemplate(t, "user.{sub}.**", strings.Repeat("x", 4000)); other.Covers(long) {
		t.Error("past the bound Covers is true, want false")
	}
}

func TestCoversZeroPattern(t *testing.T) {
	a := mustParse(t, "a*")
	if !a.Covers(Pattern{}) {
		t.Error("nothing is not covered")
	}
	if (Pattern{}).Covers(a) {
		t.Error("nothing covers something")
	}
}

func TestCoversLongestPatterns(t *testing.T) {
	tests := []struct{ name, p, q string }{
		{"one letter", "**" + strings.Repeat("a", 190), "**" + strings.Repeat("a", 191)},
		{"stars", strings.Repeat("*a", 90) + "**", strings.Repeat("*a", 99)},
		{"double stars", strings.Repeat("**a", 60), strings.Repeat("*.a", 66)},
		{"dots", "**" + strings.Repeat(".**", 60), "*" + strings.Repeat(".*", 99)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if !mustParse(t, tt.p).Covers(mustParse(t, tt.q)) {
				t.Errorf("%q does not cover %q", tt.p, tt.q)
			}
		})
	}
}

func TestCoversIsExactForAllShortPatterns(t *testing.T) {
	var patterns []Pattern
	for _, w := range words4(4)[1:] {
		patterns = append(patterns, mustParse(t, strings.ReplaceAll(w, "x", "*")))
	}
	names := words4(6)
	matches := make([][]bool, len(patterns))
	for i, p := range patterns {
		for _, name := range names {
			matches[i] = append(matches[i], p.Match(name))
		}
	}
	for i, p := range patterns {
		for j, q := range patterns {
			want := true
			for k := range names {
				if matches[j][k] && !matches[i][k] {
					want = false
					break
				}
			}
			if got := p.Covers(q); got != want {
				t.Errorf("%q covers %q: got %v, want %v", p, q, got, want)
			}
		}
	}
}

func TestCoversGivesUpOnTheSafeSide(t *testing.T) {
	p, q := mustParse(t, strings.Repeat("*.", 70)+"**"), mustParse(t, strings.Repeat(".*.**", 40))
	if p.Covers(q) {
		t.Error("a search that was cut short is true, want false")
	}
	if !p.covers(q, 100*maxPairs) {
		t.Error("with time enough it is false, want true")
	}
}

func BenchmarkCovers(b *testing.B) {
	for _, bb := range []struct{ name, p, q string }{
		{"usual", "user.**", "user.*.done"},
		{"longest", "**" + strings.Repeat("a", 190), "**" + strings.Repeat("a", 191)},
		{"given up", strings.Repeat("*.", 70) + "**", strings.Repeat(".*.**", 40)},
	} {
		b.Run(bb.name, func(b *testing.B) {
			p, q := mustParse(b, bb.p), mustParse(b, bb.q)
			for b.Loop() {
				p.Covers(q)
			}
		})
	}
}

func FuzzCovers(f *testing.F) {
	for _, seed := range [][2]string{
		{"*.**", "**.a"}, {"a.*", "a.**"}, {"**a*", "*a**"}, {"**ab*", "*ab*"}, {"**.*b", "*.*"}, {"a**a", "a*ba"},
	} {
		f.Add(seed[0], seed[1])
	}
	names := words4(7)
	f.Fuzz(func(t *testing.T, first, second string) {
		p, err := Parse(fold(first, "ab.*", 6))
		if err != nil {
			t.Skip(err)
		}
		q, err := Parse(fold(second, "ab.*", 6))
		if err != nil {
			t.Skip(err)
		}
		outside := func(name string) bool { return q.Match(name) && !p.Match(name) }
		i := slices.IndexFunc(names, outside)
		switch covers := p.Covers(q); {
		case covers && i >= 0:
			t.Errorf("%q covers %q, yet not %q", p, q, names[i])
		case !covers && i < 0 && !slices.ContainsFunc(instances(q), outside):
			t.Errorf("%q does not cover %q, and yet matches all that was tried", p, q)
		}
	})
}

// words4 are all words of at most n characters of an alphabet of two letters that patterns have, one that they have
// not, and the dot.
func words4(n int) []string {
	all := []string{""}
	for last := all; n > 0; n-- {
		var next []string
		for _, w := range last {
			for _, c := range "ab.x" {
				next = append(next, w+string(c))
			}
		}
		all = append(all, next...)
		last = next
	}
	return all
}

// instances are names that q matches: its wildcards filled with up to four characters that no pattern
// has, or dots.
func instances(q Pattern) []string {
	all := []string{""}
	for _, part := range q.parts {
		var next []string
		for _, name := range all {
			for _, filler := range fillers[part.before] {
				next = append(next, name+filler+part.literal)
			}
		}
		all = next
	}
	return all
}

var fillers = func() map[wildcard][]string {
	m := map[wildcard][]string{none: {""}, run: {"", "x", "xx"}}
	for _, w := range words4(4) {
		if !strings.ContainsAny(w, "ab") {
			m[every] = append(m[every], w)
		}
	}
	return m
}()
