package socket_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"github.com/herald-events/herald/internal/socket"
)

func TestReadsClose(t *testing.T) {
	cases := []readCase{
		{name: "without a code", stream: [][]byte{whole(ws.OpClose, "")}, answers: []string{"close 0"}}, // as empty
		{name: "with half a code", stream: [][]byte{whole(ws.OpClose, "\x03")}, answers: []string{"close 1002"}},
		{name: "with a reason", stream: [][]byte{closing(1000, "bye")}, answers: []string{"close 1000"}},
		{name: "with the longest reason", stream: [][]byte{closing(1000, strings.Repeat("x", 123))}, answers: []string{"close 1000"}},
		{name: "with a reason that is not UTF-8", stream: [][]byte{closing(1000, "\xff")}, answers: []string{"close 1007"}},
		{name: "before a message", stream: [][]byte{closing(1000, ""), text("late")}, answers: []string{"close 1000"}},
		{name: "before a ping", stream: [][]byte{closing(1000, ""), ping("late")}, answers: []string{"close 1000"}},
		{name: "twice", stream: [][]byte{closing(1000, ""), closing(1001, "")}, answers: []string{"close 1000"}},
	}
	for _, code := range []ws.StatusCode{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999} {
		cases = append(cases, readCase{
			name: fmt.Sprint("with the code ", code), stream: [][]byte{closing(code, "")}, answers: []string{fmt.Sprint("close ", code)},
		})
	}
	for _, code := range []ws.StatusCode{0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535} {
		cases = append(cases, readCase{
			name: fmt.Sprint("with the bad code ", code), stream: [][]byte{closing(code, "")}, answers: []string{"close 1002"},
		})
	}
	runCases(t, cases)
}

func TestReadsUTF8(t *testing.T) {
	const mixed = "aéπ€𝄞" // characters of one to four bytes
	cases := []readCase{
		{name: "whole", stream: [][]byte{text(mixed)}, messages: []string{mixed}},
		{name: "the last character of all", stream: [][]byte{text("\U0010ffff")}, messages: []string{"\U0010ffff"}},
	}
	for cut := range len(mixed) {
		cases = append(cases, readCase{
			name: fmt.Sprint("cut at ", cut), stream: [][]byte{start(mixed[:cut]), ping("x"), end(mixed[cut:])},
			messages: []string{mixed}, answers: []string{"pong x"},
		})
	}
	for _, bad := range []struct{ name, text string }{
		{"lone continuation", "\x80"},
		{"impossible byte", "a\xff"},
		{"overlong slash", "\xc0\xaf"},
		{"overlong euro", "\xf0\x82\x82\xac"},
		{"surrogate", "\xed\xa0\x80"},
		{"past the last character", "\xf4\x90\x80\x80"},
		{"character never ended by another", "\xe2\x82a"},
	} {
		invalid := []string{"close 1007"}
		cases = append(cases,
			readCase{name: bad.name, stream: [][]byte{text(bad.text)}, answers: invalid},
			readCase{name: bad.name + " in a first fragment fails fast", stream: [][]byte{start(bad.text)}, answers: invalid},
			readCase{name: bad.name + " in a later fragment fails fast", stream: [][]byte{start("é"), more(bad.text)}, answers: invalid},
		)
	}
	for cut := 1; cut < 4; cut++ { // of 𝄞
		unfinished := "a𝄞"[:1+cut]
		cases = append(cases,
			readCase{name: fmt.Sprint("unfinished after ", cut), stream: [][]byte{text(unfinished)}, answers: []string{"close 1007"}},
			readCase{name: fmt.Sprint("unfinished in fragments after ", cut), stream: [][]byte{start(unfinished), end("")}, answers: []string{"close 1007"}},
		)
	}
	runCases(t, cases)
}

// TestReadsLengths sends headers alone where the length says enough: nobody waits for the rest.
func TestReadsLengths(t *testing.T) {
	announce := func(length int64) []byte {
		return masking(ws.Header{Fin: true, OpCode: ws.OpText, Length: length}, "")
	}
	tooBig := []string{"close 1009"}
	runCases(t, []readCase{
		{name: "one byte more", stream: [][]byte{announce(readLimit + 1)}, answers: tooBig},
		{name: "1 GiB", stream: [][]byte{announce(1 << 30)}, answers: tooBig},
		{name: "the largest length", stream: [][]byte{announce(1<<63 - 1)}, answers: tooBig},
		{
			name:    "length with its highest bit set",
			stream:  [][]byte{{0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}},
			answers: []string{"close 1002"},
		},
		{
			name:    "short length in 16 bits",
			stream:  [][]byte{{0x81, 0xfe, 0, 125, 1, 2, 3, 4}},
			answers: []string{"close 1002"},
		},
		{
			name:    "16 bit length in 64",
			stream:  [][]byte{{0x81, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4}},
			answers: []string{"close 1002"},
		},
		{
			name:     "fragments up to it",
			stream:   [][]byte{start(strings.Repeat("x", readLimit-1)), more("x"), end("")},
			messages: []string{strings.Repeat("x", readLimit)},
		},
		{name: "fragments past it", stream: [][]byte{start(strings.Repeat("x", readLimit)), more("x")}, answers: tooBig},
		{
			name:     "again after a whole message",
			stream:   [][]byte{text(strings.Repeat("x", readLimit)), text(strings.Repeat("y", readLimit))},
			messages: []string{strings.Repeat("x", readLimit), strings.Repeat("y", readLimit)},
		},
	})
}

func TestReadsByteByByte(t *testing.T) {
	overLinks(t, func(t *testing.T, over link) {
		r := newRig(t, over, socket.Config{})
		rc := readCase{
			stream:   [][]byte{text("aé"), start("€"), ping("x"), end(strings.Repeat("z", 200)), closing(1000, "")},
			messages: []string{"aé", "€" + strings.Repeat("z", 200)},
			answers:  []string{"pong x", "close 1000"},
		}
		rc.run(t, r, func(p *peer, stream []byte) {
			for i := range stream {
				p.write(stream[i : i+1])
			}
		})
	})
}

// TestReadsEarly has the peer's first bytes come with its request.
func TestReadsEarly(t *testing.T) {
	overLinks(t, func(t *testing.T, over link) {
		r := newRig(t, over, socket.Config{})
		stream := append(text("first"), text("second")...)
		for cut := range len(stream) + 1 {
			server, client := r.connect()
			o, p := r.attach(server, socket.Options{Early: bytes.Clone(stream[:cut])}), r.peer(client)
			p.write(stream[cut:])
			o.wantMessage("first")
			o.wantMessage("second")
		}
	})
}

// TestPeerGoneWithoutAWord ends a connection in the middle of everything.
func TestPeerGoneWithoutAWord(t *testing.T) {
	overLinks(t, func(t *testing.T, over link) {
		r := newRig(t, over, socket.Config{})
		stream := append(start("ab"), end("cd")...)
		for cut := range len(stream) {
			o, p := r.webSocket(socket.Options{})
			p.write(stream[:cut])
			if err := p.conn.Close(); err != nil {
				t.Fatal(err)
			}
			o.wantClosed(socket.Gone)
		}
	})
}

func FuzzRead(f *testing.F) {
	for _, seed := range [][]byte{
		text("hello"), append(start("a"), end("b")...), ping("x"), closing(1000, "bye"), whole(ws.OpBinary, "b"),
		masking(ws.Header{Fin: true, OpCode: ws.OpText, Length: 1 << 40}, "x"), text("\xff"), {0x81}, {0x81, 0xff, 0x80},
	} {
		f.Add(seed)
	}
	const limit = 256
	f.Fuzz(func(t *testing.T, stream []byte) {
		r := newRig(t, owned, socket.Config{})
		server, client := r.connect()
		o, p := r.attach(server, socket.Options{MaxPayload: limit}), r.peer(client)
		go func() {
			_, _ = client.Write(stream) // the server may have had enough before the end
			_ = client.CloseWrite()
		}()
		for last := false; !last; {
			frame, err := readFrame(p.reader)
			last = err != nil || frame.Header.OpCode == ws.OpClose
		}
		_ = client.Close()
		receive(t, o.closed, "Closed")
		for len(o.messages) > 0 {
			if m := <-o.messages; len(m) > limit || strings.ToValidUTF8(m, "") != m {
				t.Errorf("the owner got a message of %d bytes: %.100q", len(m), m)
			}
		}
	})
}
