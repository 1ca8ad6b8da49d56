package herald_test

import (
	"testing"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// rfcBadAt is how much of a text it takes to know that it is no UTF-8, whatever comes.
func rfcBadAt(text string) int {
	for at := 0; at < len(text); {
		r, size := utf8.DecodeRuneInString(text[at:])
		if r != utf8.RuneError || size > 1 {
			at += size
			continue
		}
		n := 1
		for !utf8.FullRuneInString(text[at : at+n]) {
			n++
		}
		return at + n
	}
	return len(text)
}

// Section 8.1: who sees that a text is no UTF-8 does not wait for the end of the frame, nor for that of
// the message. What is sent here stops with the byte that gives it away.
func TestRFC6455BadUTF8FailsFast(t *testing.T) {
	unfinished := func(h ws.Header, payload string) []byte {
		h.Length = int64(len(payload)) + 1000
		return rfcAnnounce(h, payload)
	}
	text, more := ws.Header{Fin: true, OpCode: ws.OpText}, ws.Header{Fin: true, OpCode: ws.OpContinuation}
	closed := rfcWords{"close 1007"}
	var cases []rfcCase
	for _, bad := range rfcBad {
		known := bad.text[:rfcBadAt(bad.text)]
		cases = append(cases,
			rfcCase{section: "8.1", name: bad.name, sent: rfcStream{unfinished(text, known)}, back: closed},
			rfcCase{section: "8.1", name: bad.name + " behind good text", sent: rfcStream{unfinished(text, `{"type":"κόσμε`+known)}, back: closed},
			rfcCase{
				section: "8.1", name: bad.name + " in a later fragment", back: rfcWords{"pong x", "close 1007"},
				sent: rfcStream{rfcBegin("κόσμε"), rfcPing("x"), unfinished(more, "κόσμε"+known)},
			},
		)
		if len(known) > 1 { // the character is cut by the end of the first fragment
			cases = append(cases, rfcCase{
				section: "8.1", name: bad.name + " over two fragments", back: closed,
				sent: rfcStream{rfcBegin("κόσμε" + known[:len(known)-1]), unfinished(more, known[len(known)-1:])},
			})
		}
	}
	runRFC(t, cases)
}
