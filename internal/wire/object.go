package wire

import (
	"strconv"
	"time"
	"unicode/utf8"
)

// object is a JSON object under construction, so that a frame reads like the
// line of PROTOCOL.md that it encodes. Each method returns the grown object.
type object []byte

// frame begins a server message of the given type. size is the expected length
// of what varies: with a good guess a frame is one allocation.
func frame(kind string, size int) object {
	const fixed = 128 // names and punctuation of the longest frame, a domain event
	return append(make(object, 0, fixed+size), '{').text("type", kind)
}

// done ends the outermost object.
func (o object) done() []byte { return append(o, '}') }

// in opens an object as a member; out ends it.
func (o object) in(key string) object { return append(o.key(key), '{') }
func (o object) out() object          { return append(o, '}') }

func (o object) text(key, value string) object {
	return appendQuoted(o.key(key), value)
}

func (o object) number(key string, n int64) object {
	return strconv.AppendInt(o.key(key), n, 10)
}

func (o object) truth(key string, value bool) object {
	return strconv.AppendBool(o.key(key), value)
}

// time is the text of [FormatTime].
func (o object) time(key string, t time.Time) object {
	return append(t.UTC().AppendFormat(append(o.key(key), '"'), timeLayout), '"')
}

// raw splices JSON in, byte for byte; nothing is null.
func (o object) raw(key string, value []byte) object {
	if len(value) == 0 {
		return append(o.key(key), "null"...)
	}
	return append(o.key(key), value...)
}

func (o object) texts(key string, values []string) object {
	o = append(o.key(key), '[')
	for i, v := range values {
		if i > 0 {
			o = append(o, ',')
		}
		o = appendQuoted(o, v)
	}
	return append(o, ']')
}

// key begins a member. Keys are this package's own and need no escaping; no
// JSON value ends in '{', so after one this is the first member.
func (o object) key(key string) object {
	if o[len(o)-1] != '{' {
		o = append(o, ',')
	}
	o = append(o, '"')
	o = append(o, key...)
	return append(o, '"', ':')
}

// appendQuoted appends s as a JSON string. Only what RFC 8259 demands is
// escaped, and what is no UTF-8 becomes U+FFFD: one bad byte in a text frame
// would make the client close the connection (RFC 6455, section 8.1).
func appendQuoted[T ~[]byte](b T, s string) T {
	b = append(b, '"')
	start := 0 // of what is not yet copied
	for i := 0; i < len(s); {
		c := s[i]
		if ' ' <= c && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			b = appendEscaped(append(b, s[start:i]...), c)
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			b = append(append(b, s[start:i]...), "\uFFFD"...)
			start = i + size
		}
		i += size
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}

func appendEscaped[T ~[]byte](b T, c byte) T {
	const hex = "0123456789abcdef"
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\b':
		return append(b, '\\', 'b')
	case '\f':
		return append(b, '\\', 'f')
	case '\n':
		return append(b, '\\', 'n')
	case '\r':
		return append(b, '\\', 'r')
	case '\t':
		return append(b, '\\', 't')
	default:
		return append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
	}
}
