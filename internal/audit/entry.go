// Package audit chains the entries of an audit log: each has the hash of the one before it, so that a change of any
// of them is found by whoever computes the chain again.
package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Start is the hash before the first entry.
var Start = strings.Repeat("0", 2*sha256.Size)

// Entry is one entry of the log. Texts are valid UTF-8; those that are empty are absent.
type Entry struct {
	Seq        uint64 // counts from 1, without holes
	ID         string
	OccurredAt time.Time // of both times the milliseconds count
	RecordedAt time.Time
	Actor      string
	Action     string
	Target     string
	IP         string
	UserAgent  string
	RequestID  string
	Outcome    string
	EventID    string
	Payload    []byte // JSON text
	PrevHash   string // of the entry before, in hex
	Hash       string // of this one
}

// Seal sets the hashes of an entry that follows one with the hash prev.
func (e *Entry) Seal(prev string) {
	e.PrevHash = prev
	e.Hash = e.sum()
}

// sum is the SHA-256 of the entry's canonical form, in hex.
func (e *Entry) sum() string {
	sum := sha256.Sum256(e.appendCanonical(nil))
	return hex.EncodeToString(sum[:])
}

// appendCanonical appends the entry in the form of RFC 8785 (JSON Canonicalization Scheme): one object whose names
// are sorted, without white space. The payload's hash stands in the payload's place, absent fields are left out, and
// so is the hash.
func (e *Entry) appendCanonical(b []byte) []byte {
	payload := sha256.Sum256(e.Payload)
	b = append(b, '{')
	for _, f := range [...]struct{ name, value string }{
		{"action", e.Action},
		{"actor", e.Actor},
		{"eventId", e.EventID},
		{"id", e.ID},
		{"ip", e.IP},
		{"occurredAt", FormatTime(e.OccurredAt)},
		{"outcome", e.Outcome},
		{"payloadHash", hex.EncodeToString(payload[:])},
		{"prevHash", e.PrevHash},
		{"recordedAt", FormatTime(e.RecordedAt)},
		{"requestId", e.RequestID},
		{"seq", ""},
		{"target", e.Target},
		{"userAgent", e.UserAgent},
	} {
		switch {
		case f.name == "seq":
			b = append(append(b, `"seq":`...), strconv.FormatUint(e.Seq, 10)...)
		case f.value == "":
			continue
		default:
			b = append(append(append(b, '"'), f.name...), `":`...)
			b = appendText(b, f.value)
		}
		b = append(b, ',')
	}
	b[len(b)-1] = '}'
	return b
}

// FormatTime is a time as entries show it: RFC 3339 in UTC, with milliseconds.
func FormatTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// appendText appends a string as RFC 8785, section 3.2.2.2, has it: escaped is what JSON demands, in its shortest form,
// and nothing else.
func appendText(b []byte, s string) []byte {
	const hexDigits = "0123456789abcdef"
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\b':
			b = append(b, `\b`...)
		case r == '\t':
			b = append(b, `\t`...)
		case r == '\n':
			b = append(b, `\n`...)
		case r == '\f':
			b = append(b, `\f`...)
		case r == '\r':
			b = append(b, `\r`...)
		case r < ' ':
			b = append(b, `\u00`...)
			b = append(b, hexDigits[r>>4], hexDigits[r&15])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}
