package wire

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// scanner walks a JSON text once, from left to right. It neither recurses nor
// allocates, so its cost is the length of the text, whatever the text is.
type scanner struct {
	data   []byte
	pos    int
	blanks int // bytes of insignificant white space passed so far

	depth   int
	objects uint64 // lowest bit: the innermost container is an object; then outwards
}

// document scans a whole text: one value and nothing else.
func (s *scanner) document() error {
	if err := s.utf8(); err != nil {
		return err
	}
	if err := s.value(); err != nil {
		return err
	}
	return s.trailing()
}

// utf8 runs ahead of the scan: one pass over all bytes costs less than a look
// at each byte of each string.
func (s *scanner) utf8() error {
	if utf8.Valid(s.data) {
		return nil
	}
	at := 0
	for {
		r, size := utf8.DecodeRune(s.data[at:])
		if r == utf8.RuneError && size <= 1 {
			return &SyntaxError{Offset: at, Reason: "invalid UTF-8"}
		}
		at += size
	}
}

func (s *scanner) trailing() error {
	s.space()
	if s.pos < len(s.data) {
		return s.unexpected("after the value")
	}
	return nil
}

// value scans one value with all that it holds.
func (s *scanner) value() error {
	floor := s.depth
	for {
		opened, err := s.begin()
		if err != nil {
			return err
		}
		if opened {
			continue
		}
		if done, err := s.end(floor); done || err != nil {
			return err
		}
	}
}

// begin scans a scalar or an empty container and reports false, or enters a
// container up to its first value and reports true.
func (s *scanner) begin() (opened bool, err error) {
	s.space()
	switch c := s.peek(); c {
	case '{', '[':
		if err := s.push(); err != nil {
			return false, err
		}
		s.space()
		if s.peek() == c+2 { // in ASCII the closing bracket is two after its opening one
			s.pop()
			return false, nil
		}
		if c == '{' {
			_, err = s.key()
		}
		return true, err
	case '"':
		_, err = s.text()
		return false, err
	default:
		return false, s.scalar(c)
	}
}

// end goes on after a value: it leaves the containers that end here and
// reports true once it is back at floor, false where another value is due.
func (s *scanner) end(floor int) (done bool, err error) {
	for s.depth > floor {
		s.space()
		inObject := s.objects&1 == 1
		switch c := s.peek(); {
		case c == ',':
			s.pos++
			if inObject {
				_, err = s.key()
			}
			return false, err
		case inObject && c == '}', !inObject && c == ']':
			s.pop()
		case inObject:
			return false, s.unexpected("where ',' or '}' is due")
		default:
			return false, s.unexpected("where ',' or ']' is due")
		}
	}
	return true, nil
}

// key scans a member's name and its colon and returns the quoted name.
func (s *scanner) key() ([]byte, error) {
	s.space()
	if s.peek() != '"' {
		return nil, s.unexpected("where a key is due")
	}
	raw, err := s.text()
	if err != nil {
		return nil, err
	}
	s.space()
	if s.peek() != ':' {
		return nil, s.unexpected("where ':' is due")
	}
	s.pos++
	return raw, nil
}

// text scans a string and returns it with its quotes.
func (s *scanner) text() ([]byte, error) {
	start := s.pos
	for s.pos++; s.pos < len(s.data); s.pos++ {
		switch c := s.data[s.pos]; {
		case c == '"':
			s.pos++
			return s.data[start:s.pos], nil
		case c == '\\':
			if err := s.escape(); err != nil {
				return nil, err
			}
		case c < ' ':
			return nil, s.fail("control character in a string")
		}
	}
	return nil, s.unexpected("in a string")
}

// escape scans an escape sequence and stops on its last byte.
func (s *scanner) escape() error {
	s.pos++
	switch s.peek() {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return nil
	case 'u':
		for range 4 {
			s.pos++
			if !isHex(s.peek()) {
				return s.unexpected("in a \\u escape")
			}
		}
		return nil
	default:
		return s.unexpected("after a backslash")
	}
}

func (s *scanner) scalar(c byte) error {
	switch {
	case c == 't':
		return s.literal("true")
	case c == 'f':
		return s.literal("false")
	case c == 'n':
		return s.literal("null")
	case c == '-' || isDigit(c):
		return s.number()
	default:
		return s.unexpected("where a value is due")
	}
}

func (s *scanner) literal(word string) error {
	if !bytes.HasPrefix(s.data[s.pos:], []byte(word)) {
		return s.fail("want " + word)
	}
	s.pos += len(word)
	return nil
}

func (s *scanner) number() error {
	if s.peek() == '-' {
		s.pos++
	}
	if s.peek() == '0' { // alone: 01 is no number
		s.pos++
	} else if err := s.digits(); err != nil {
		return err
	}
	if s.peek() == '.' {
		s.pos++
		if err := s.digits(); err != nil {
			return err
		}
	}
	if c := s.peek(); c != 'e' && c != 'E' {
		return nil
	}
	s.pos++
	if c := s.peek(); c == '+' || c == '-' {
		s.pos++
	}
	return s.digits()
}

func (s *scanner) digits() error {
	if !isDigit(s.peek()) {
		return s.unexpected("where a digit is due")
	}
	for isDigit(s.peek()) {
		s.pos++
	}
	return nil
}

func (s *scanner) space() {
	start := s.pos
	for isSpace(s.peek()) {
		s.pos++
	}
	s.blanks += s.pos - start
}

// peek returns the byte at hand, or 0 at the end: NUL is nowhere valid, so
// whoever looks for something takes both for a mistake.
func (s *scanner) peek() byte {
	if s.pos < len(s.data) {
		return s.data[s.pos]
	}
	return 0
}

// push enters the container whose bracket is at hand.
func (s *scanner) push() error {
	if s.depth == MaxDepth {
		return s.fail(fmt.Sprintf("nested deeper than %d", MaxDepth))
	}
	s.objects <<= 1
	if s.peek() == '{' {
		s.objects |= 1
	}
	s.depth++
	s.pos++
	return nil
}

func (s *scanner) pop() {
	s.pos++
	s.depth--
	s.objects >>= 1
}

func (s *scanner) fail(reason string) error {
	return &SyntaxError{Offset: s.pos, Reason: reason}
}

func (s *scanner) unexpected(where string) error {
	if s.pos >= len(s.data) {
		return s.fail("unexpected end " + where)
	}
	r, _ := utf8.DecodeRune(s.data[s.pos:])
	return s.fail(fmt.Sprintf("unexpected %q %s", r, where))
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isHex(c byte) bool {
	return isDigit(c) || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}
