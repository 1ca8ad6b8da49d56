package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"unicode/utf8"
)

// MaxDepth is how deep arrays and objects may nest. The kinds of all open
// containers then fit one machine word, so hostile nesting costs no memory
// here, and the recursive parsers of the clients that receive the text have
// nothing to fear from it. A server message wraps what was sent in at most two more.
const MaxDepth = 64

// SyntaxError says why a text was refused, and where.
type SyntaxError struct {
	Offset int // in bytes, from 0
	Reason string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("invalid JSON at byte %d: %s", e.Offset, e.Reason)
}

// Compact removes insignificant white space; strings and numbers keep their
// bytes. Where there is nothing to remove, the result is data itself, not a
// copy. It returns a [*SyntaxError] unless data is exactly one JSON value (RFC
// 8259) in valid UTF-8 that nests no deeper than [MaxDepth].
func Compact(data []byte) ([]byte, error) {
	s := scanner{data: data}
	if err := s.document(); err != nil {
		return nil, err
	}
	if s.blanks == 0 {
		return data, nil
	}
	return strip(data, len(data)-s.blanks), nil
}

// Field is one member of an object. Value is a part of the text it was read
// from, white space around it removed.
type Field struct {
	Name  string
	Value json.RawMessage
}

// Object returns the members of the one object that data must be, in order.
// It checks like [Compact] and refuses two members of one name, however escaped:
// two readers of such a text may each believe another of them.
func Object(data []byte) ([]Field, error) {
	return objectUpTo(math.MaxInt, data)
}

// objectUpTo is Object for at most limit members.
func objectUpTo(limit int, data []byte) ([]Field, error) {
	s := scanner{data: data}
	if err := s.utf8(); err != nil {
		return nil, err
	}
	fields, err := s.object(limit)
	if err != nil {
		return nil, err
	}
	if err := s.trailing(); err != nil {
		return nil, err
	}
	return fields, nil
}

// object scans an object and keeps its members, of which it may have limit.
func (s *scanner) object(limit int) ([]Field, error) {
	s.space()
	if s.peek() != '{' {
		return nil, s.unexpected("where an object is due")
	}
	if err := s.push(); err != nil {
		return nil, err
	}
	s.space()
	if s.peek() == '}' {
		s.pop()
		return nil, nil
	}
	var (
		fields = make([]Field, 0, 8) // no message of the protocol has more
		seen   names
	)
	for {
		if len(fields) == limit {
			return nil, s.fail(fmt.Sprintf("more than %d members", limit))
		}
		field, err := s.member()
		if err != nil {
			return nil, err
		}
		if seen.add(fields, field.Name) {
			return nil, s.fail(fmt.Sprintf("duplicate key %q", clip(field.Name)))
		}
		fields = append(fields, field)
		s.space()
		switch s.peek() {
		case ',':
			s.pos++
		case '}':
			s.pop()
			return fields, nil
		default:
			return nil, s.unexpected("where ',' or '}' is due")
		}
	}
}

func (s *scanner) member() (Field, error) {
	raw, err := s.key()
	if err != nil {
		return Field{}, err
	}
	s.space()
	start := s.pos
	if err := s.value(); err != nil {
		return Field{}, err
	}
	return Field{Name: unquote(raw), Value: s.data[start:s.pos:s.pos]}, nil
}

// names finds repeated names: by comparing while there are few of them, which
// is every honest message, by hash when there are many.
type names map[string]struct{}

// add reports whether name stands among fields.
func (n *names) add(fields []Field, name string) (repeated bool) {
	const few = 16
	if len(fields) < few {
		for _, f := range fields {
			if f.Name == name {
				return true
			}
		}
		return false
	}
	if *n == nil {
		*n = make(names, 2*few)
		for _, f := range fields {
			(*n)[f.Name] = struct{}{}
		}
	}
	_, repeated = (*n)[name]
	(*n)[name] = struct{}{}
	return repeated
}

// strip copies valid JSON without its insignificant white space.
func strip(data []byte, size int) []byte {
	out := make([]byte, 0, size)
	for i := 0; i < len(data); {
		switch c := data[i]; {
		case isSpace(c):
			i++
		case c == '"':
			end := stringEnd(data, i)
			out = append(out, data[i:end]...)
			i = end
		default:
			out = append(out, c)
			i++
		}
	}
	return out
}

// stringEnd returns where the string that begins at i ends, in valid JSON.
func stringEnd(data []byte, i int) int {
	for i++; data[i] != '"'; i++ {
		if data[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// unquote returns what a scanned string says. Half of a surrogate pair becomes
// U+FFFD, as in encoding/json.
func unquote(raw []byte) string {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1])
	}
	var text string
	_ = json.Unmarshal(raw, &text) // cannot fail: the scanner takes less than it does
	return text
}

// clip shortens what an error message repeats, so that a message of a
// mebibyte is not answered with another.
func clip(s string) string {
	const enough = 64
	if len(s) <= enough {
		return s
	}
	end := enough
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}
