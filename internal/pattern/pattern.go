// Package pattern matches names of event types and channels against patterns, and tells whether
// one pattern covers another.
//
// In a pattern `*` stands for any run of characters but a dot, also an empty one, and `**` for any
// run at all; three and more asterisks are `**`. A pattern that is a lone `*` matches every name.
// Everything else stands for itself, byte for byte.
//
// A Pattern never changes after it is parsed: any number of goroutines may use one at once.
package pattern

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxLen is the longest pattern in bytes: as long as the longest name, a channel's.
const maxLen = 200

// maxExpanded bounds in bytes what a template grows to, because a template can hold {sub} 40 times
// and a user id comes from a token. OpenID Connect ends a sub at 255 bytes, so this leaves room for 16.
const maxExpanded = 4096

const subPlaceholder = "{sub}"

// wildcard is what stands before a part's literal.
type wildcard uint8

const (
	none  wildcard = iota // only before a pattern's first literal
	run                   // `*`: any run of characters but a dot
	every                 // `**`: any run of characters
)

// part is a wildcard and the literal that follows it.
type part struct {
	before  wildcard
	literal string
}

// Pattern is a parsed pattern. The zero Pattern matches nothing.
type Pattern struct {
	text string
	// Only the first part may have no wildcard, only the last an empty literal: no two wildcards
	// are neighbours, and no two literals.
	parts []part
}

// Parse reads a pattern of 1 to 200 bytes. It may hold the characters of names,
// `A-Z a-z 0-9 _ - = @ , . ;`, and asterisks.
func Parse(s string) (Pattern, error) {
	if err := check(s, s); err != nil {
		return Pattern{}, err
	}
	return compile([]string{s}, ""), nil
}

// ParseTemplate reads a pattern in which {sub} stands for a user's id. The id is taken literally,
// whatever characters it holds: a user called `*` gains nothing. With an empty sub a template that
// asks for one is an error, because it would otherwise turn `user.{sub}*` into everybody's.
func ParseTemplate(s, sub string) (Pattern, error) {
	pieces := strings.Split(s, subPlaceholder)
	if err := check(s, pieces...); err != nil {
		return Pattern{}, err
	}
	if len(pieces) > 1 && sub == "" {
		return Pattern{}, fmt.Errorf("pattern %q: there is no user for %s", s, subPlaceholder)
	}
	if n := len(s) + (len(pieces)-1)*(len(sub)-len(subPlaceholder)); n > maxExpanded {
		return Pattern{}, fmt.Errorf("pattern %q: %d bytes with the user's id in it, at most %d are allowed", s, n, maxExpanded)
	}
	return compile(pieces, sub), nil
}

// check says what is wrong with the pattern s, whose own characters are those of pieces.
func check(s string, pieces ...string) error {
	if s == "" {
		return errors.New("pattern is empty")
	}
	if len(s) > maxLen {
		return fmt.Errorf("pattern of %d bytes, at most %d are allowed", len(s), maxLen)
	}
	for _, piece := range pieces {
		for i := range len(piece) {
			if !allowed(piece[i]) {
				r, _ := utf8.DecodeRuneInString(piece[i:])
				return fmt.Errorf("pattern %q: character %q is not allowed", s, r)
			}
		}
	}
	return nil
}

func allowed(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return strings.IndexByte("_-=@,.;*", c) >= 0
}

// compile joins checked pieces with the literal sub between each two.
func compile(pieces []string, sub string) Pattern {
	parts := []part{{before: none}}
	literal := func(s string) { parts[len(parts)-1].literal += s }
	for i, piece := range pieces {
		if i > 0 {
			literal(sub)
		}
		for piece != "" {
			rest := strings.TrimLeft(piece, "*")
			switch len(piece) - len(rest) {
			case 0:
			case 1:
				parts = append(parts, part{before: run})
			default:
				parts = append(parts, part{before: every})
			}
			end := strings.IndexByte(rest, '*')
			if end < 0 {
				end = len(rest)
			}
			literal(rest[:end])
			piece = rest[end:]
		}
	}
	if len(parts) > 1 && parts[0].literal == "" {
		parts = parts[1:]
	}
	if len(parts) == 1 && parts[0].before == run && parts[0].literal == "" {
		parts[0].before = every
	}
	return Pattern{text: strings.Join(pieces, escape.Replace(sub)), parts: parts}
}

// escape marks what a user's id holds of the pattern language. Neither Parse nor ParseTemplate takes a backslash,
// so that the text of a pattern with such an id is refused when it is read again instead of meaning more.
var escape = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `{`, `\{`)

// String is the text that was parsed. Of a template it is the expanded text, in which a
// backslash marks each of the id's own `*`, `{` and `\`; no two different patterns share one.
func (p Pattern) String() string { return p.text }

// Exact returns the one name that p matches, when p has no wildcard.
func (p Pattern) Exact() (string, bool) {
	if len(p.parts) != 1 || p.parts[0].before != none {
		return "", false
	}
	return p.parts[0].literal, true
}

// matchesAll reports whether p matches every name.
func (p Pattern) matchesAll() bool {
	return len(p.parts) == 1 && p.parts[0] == part{before: every}
}

// minLen is the length in bytes of the shortest name that p matches.
func (p Pattern) minLen() int {
	n := 0
	for _, part := range p.parts {
		n += len(part.literal)
	}
	return n
}
