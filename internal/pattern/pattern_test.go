package pattern

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	tests := []struct {
		name, in string
		wantErr  string // part of the text, empty for none
	}{
		{"name", "user.registered", ""},
		{"every character of names", "AZaz09_-=@,.;", ""},
		{"wildcards", "*.**.***", ""},
		{"longest", strings.Repeat("a", 200), ""},
		{"empty", "", "empty"},
		{"too long", strings.Repeat("a", 201), "201 bytes, at most 200"},
		{"blank", "user registered", `character ' ' is not allowed`},
		{"not ASCII", "größe", `character 'ö' is not allowed`},
		{"not UTF-8", "a\xff", `is not allowed`},
		{"control", "a\x00", `character '\x00' is not allowed`},
		{"backslash", `a\*`, `character '\\' is not allowed`},
		{"placeholder", "user.{sub}", `character '{' is not allowed`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := Parse(tt.in)
			checkError(t, err, tt.wantErr)
			if err == nil && p.String() != tt.in {
				t.Errorf("String() = %q, want %q", p.String(), tt.in)
			}
		})
	}
}

func TestParseTemplate(t *testing.T) {
	tests := []struct {
		name, in, sub string
		want          string // String
		wantErr       string
	}{
		{"no placeholder", "user.*", "", "user.*", ""},
		{"placeholder", "user.{sub}.*", "42", "user.42.*", ""},
		{"twice", "{sub}-{sub}", "a", "a-a", ""},
		{"any character", "user.{sub}", "a b/ü\x00", "user.a b/ü\x00", ""},
		{"asterisk", "user.{sub}.*", "*", `user.\*.*`, ""},
		{"backslash", "user.{sub}", `\*`, `user.\\\*`, ""},
		{"placeholder as id", "user.{sub}", "{sub}", `user.\{sub}`, ""},
		{"empty", "", "42", "", "empty"},
		{"no user", "user.{sub}", "", "", "there is no user for {sub}"},
		{"other placeholder", "user.{name}", "42", "", `character '{' is not allowed`},
		{"half a placeholder", "user.{sub", "42", "", `character '{' is not allowed`},
		{"nested", "{su{sub}b}", "42", "", `character '{' is not allowed`},
		{"template too long", strings.Repeat("a", 196) + "{sub}", "1", "", "201 bytes, at most 200"},
		{"user too long", "{sub}{sub}", strings.Repeat("a", 2049), "", "4098 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := ParseTemplate(tt.in, tt.sub)
			checkError(t, err, tt.wantErr)
			if p.String() != tt.want {
				t.Errorf("String() = %q, want %q", p.String(), tt.want)
			}
		})
	}
}

func TestUserCalledAsteriskGainsNothing(t *testing.T) {
	for _, sub := range []string{"*", "**", "a*", "*.*"} {
		for _, template := range []string{"{sub}", "user.{sub}", "*{sub}*", "**{sub}"} {
			p := mustTemplate(t, template, sub)
			own := strings.NewReplacer("**", "", "*", "", "{sub}", sub).Replace(template)
			if !p.Match(own) {
				t.Errorf("%q of user %q does not match its own %q", template, sub, own)
			}
			other := strings.ReplaceAll(own, sub, "other")
			if p.Match(other) {
				t.Errorf("%q of user %q matches %q", template, sub, other)
			}
			if q := mustParse(t, strings.ReplaceAll(template, "{sub}", "*")); p.Covers(q) {
				t.Errorf("%q of user %q covers %q", template, sub, q)
			}
			if again, err := Parse(p.String()); err == nil {
				t.Errorf("%q of user %q can be read again as %q", template, sub, again)
			}
		}
	}
}

func TestExact(t *testing.T) {
	tests := []struct {
		name   string
		p      Pattern
		want   string
		wantOK bool
	}{
		{"name", mustParse(t, "user.registered"), "user.registered", true},
		{"all", mustParse(t, "*"), "", false},
		{"prefix", mustParse(t, "user.*"), "", false},
		{"suffix", mustParse(t, "*.registered"), "", false},
		{"inside", mustParse(t, "a*b"), "", false},
		{"template", mustTemplate(t, "user.{sub}", "*"), "user.*", true},
		{"only a user", mustTemplate(t, "{sub}", "*"), "*", true},
		{"zero", Pattern{}, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := tt.p.Exact()
			if got != tt.want || ok != tt.wantOK {
				t.Errorf("Exact() = %q, %v; want %q, %v", got, ok, tt.want, tt.wantOK)
			}
		})
	}
}

func mustParse(t testing.TB, s string) Pattern {
	t.Helper()
	p, err := Parse(s)
	if err != nil {
		t.Fatalf("Parse(%q): %v", s, err)
	}
	return p
}

func mustTemplate(t testing.TB, s, sub string) Pattern {
	t.Helper()
	p, err := ParseTemplate(s, sub)
	if err != nil {
		t.Fatalf("ParseTemplate(%q, %q): %v", s, sub, err)
	}
	return p
}

func checkError(t testing.TB, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Fatalf("error %v, want none", err)
	case want != "" && err == nil:
		t.Fatalf("no error, want one with %q", want)
	case want != "" && !strings.Contains(err.Error(), want):
		t.Fatalf("error %q, want one with %q", err, want)
	}
}
