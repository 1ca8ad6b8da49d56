package herald_test

import (
	"fmt"
	"testing"
)

// rfcGood are texts at the borders of what UTF-8 is (RFC 3629). Each can stand in a JSON string as it is.
var rfcGood = []struct{ name, text string }{
	{"words", "Hello-µ@ßöäüàá-UTF-8!!"},
	{"Greek", "κόσμε"},
	{"the last of one byte", "\x7f"},
	{"the first of two bytes", "\u0080"},
	{"the last of two bytes", "\u07ff"},
	{"the first of three bytes", "\u0800"},
	{"the last before the surrogates", "\ud7ff"},
	{"the first behind the surrogates", "\ue000"},
	{"the last of three bytes", "\uffff"},
	{"the first of four bytes", "\U00010000"},
	{"the last of all", "\U0010ffff"},
	{"the replacement character", "\ufffd"},
	{"the byte order mark", "\ufeff"},
	{"interlinear annotations", "\ufff9\ufffa\ufffb\ufffc"},
	{"characters of the first plane that are none", "\ufdd0\ufdef\ufffe\uffff"},
	{"the last two of each other plane", "\U0001fffe\U0001ffff\U0002fffe\U0008ffff\U000ffffe\U0010fffe"},
}

// rfcBad are texts that stop being UTF-8 with the byte that the name tells of, or before.
var rfcBad = []struct{ name, text string }{
	{"a continuation byte alone", "\x80"},
	{"the last continuation byte alone", "\xbf"},
	{"continuation bytes in a row", "\x80\xbf\x80\xbf"},
	{"a first byte of two before a blank", "\xc2 "},
	{"a first byte of three before a blank", "\xe1 "},
	{"a first byte of four before a blank", "\xf1 "},
	{"the third of three missing", "\xe2\x82a"},
	{"the third of four missing", "\xf1\x80a"},
	{"the fourth of four missing", "\xf1\x80\x80a"},
	{"unfinished characters in a row", "\xe0\xa0\xf0\x90\x80\xef\xbf"},
	{"the byte FE", "\xfe"},
	{"the byte FF", "\xff"},
	{"FE and FF", "\xfe\xfe\xff\xff"},
	{"overlong slash in two bytes", "\xc0\xaf"},
	{"overlong slash in three bytes", "\xe0\x80\xaf"},
	{"overlong slash in four bytes", "\xf0\x80\x80\xaf"},
	{"overlong slash in five bytes", "\xf8\x80\x80\x80\xaf"},
	{"overlong slash in six bytes", "\xfc\x80\x80\x80\x80\xaf"},
	{"the longest overlong of two bytes", "\xc1\xbf"},
	{"the longest overlong of three bytes", "\xe0\x9f\xbf"},
	{"the longest overlong of four bytes", "\xf0\x8f\xbf\xbf"},
	{"overlong NUL in two bytes", "\xc0\x80"},
	{"overlong NUL in three bytes", "\xe0\x80\x80"},
	{"overlong NUL in four bytes", "\xf0\x80\x80\x80"},
	{"overlong euro", "\xf0\x82\x82\xac"},
	{"the first high surrogate", "\xed\xa0\x80"},
	{"the last high surrogate", "\xed\xaf\xbf"},
	{"the first low surrogate", "\xed\xb0\x80"},
	{"the last low surrogate", "\xed\xbf\xbf"},
	{"surrogates in a pair", "\xed\xa0\x80\xed\xb0\x80"},
	{"the first past the last", "\xf4\x90\x80\x80"},
	{"a first byte past the last", "\xf5\x80\x80\x80"},
	{"the first of five bytes", "\xf8\x88\x80\x80\x80"},
	{"the last of five bytes", "\xfb\xbf\xbf\xbf\xbf"},
	{"the first of six bytes", "\xfc\x84\x80\x80\x80\x80"},
	{"the last of six bytes", "\xfd\xbf\xbf\xbf\xbf\xbf"},
	{"a surrogate within words", "κόσμε\xed\xa0\x80edited"},
}

// Section 5.6 and 8.1: what is UTF-8 arrives as it was, in whatever frames it came.
func TestRFC6455GoodUTF8(t *testing.T) {
	cases := []rfcCase{
		{section: "5.6", name: "NUL, which is text but no message", sent: rfcStream{rfcText("\x00")}, back: rfcWords{"message bad_message"}},
	}
	for _, good := range rfcGood {
		data := `"` + good.text + `"`
		said := rfcSay(data)
		cases = append(cases,
			rfcCase{section: "5.6", name: good.name, sent: rfcStream{rfcText(said)}, heard: rfcWords{data}},
			rfcCase{section: "5.6", name: good.name + " in a fragment for each byte", sent: rfcFragments(said, 1), heard: rfcWords{data}},
			rfcCase{section: "5.6", name: good.name + " as it is", sent: rfcStream{rfcText(good.text)}, back: rfcWords{"message bad_message"}},
		)
	}
	runRFC(t, cases)
}

// Section 8.1: what is no UTF-8 ends the connection.
func TestRFC6455BadUTF8(t *testing.T) {
	closed := rfcWords{"close 1007"}
	var cases []rfcCase
	for _, bad := range rfcBad {
		said := rfcSay(`"` + bad.text + `"`)
		cases = append(cases,
			rfcCase{section: "8.1", name: bad.name, sent: rfcStream{rfcText(bad.text)}, back: closed},
			rfcCase{section: "8.1", name: bad.name + " in a message", sent: rfcStream{rfcText(said)}, back: closed},
			rfcCase{section: "8.1", name: bad.name + " in a message of fragments", sent: rfcFragments(said, 50), back: closed},
			rfcCase{section: "8.1", name: bad.name + " in a fragment for each byte", sent: rfcFragments(bad.text, 1), back: closed},
			rfcCase{section: "8.1", name: bad.name + " in the first fragment", sent: rfcStream{rfcBegin(bad.text)}, back: closed},
			rfcCase{section: "8.1", name: bad.name + " in a later fragment", sent: rfcStream{rfcBegin("é"), rfcMore(bad.text)}, back: closed},
		)
	}
	for cut := 1; cut < 4; cut++ {
		unfinished := "a😀"[:1+cut]
		cases = append(cases,
			rfcCase{section: "8.1", name: fmt.Sprintf("%d bytes of four at the end", cut), sent: rfcStream{rfcText(unfinished)}, back: closed},
			rfcCase{section: "8.1", name: fmt.Sprintf("%d bytes of four at the end of fragments", cut), sent: rfcStream{rfcBegin(unfinished), rfcPing("x"), rfcEnd("")}, back: rfcWords{"pong x", "close 1007"}},
			rfcCase{section: "8.1", name: fmt.Sprintf("%d bytes of four before another character", cut), sent: rfcStream{rfcBegin(unfinished), rfcMore("a")}, back: closed},
		)
	}
	for cut := 1; cut < len("κόσμε"); cut++ {
		if part := "κόσμε"[:cut]; part[cut-1] >= 0xc0 { // the first byte of a character
			cases = append(cases, rfcCase{section: "8.1", name: fmt.Sprint("Greek that ends after ", cut), sent: rfcStream{rfcText(part)}, back: closed})
		}
	}
	runRFC(t, cases)
}
