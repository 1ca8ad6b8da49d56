package herald_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

// An rfcCase is what a client sends, and what a server makes of it that takes RFC 6455 at its word. The
// tables of them are in the files beside this one, by the RFC's own order; those of RFC 7692, which is
// compression, are in its own.
type rfcCase struct {
	section string // of the RFC
	name    string
	sent    rfcStream

	// back is what the client gets, in order: "pong x" is a pong with the payload x, "message pong" is
	// Herald's own message of that type, "message bad_message" its refusal with that code, and
	// "close 1002" a close frame. A case that does not end with a close leaves the connection as it was.
	back rfcWords
	// heard is the data of what another subscriber of rfcChannel hears of it.
	heard rfcWords
}

// An rfcStream is frames, or what a client sends in their place.
type rfcStream [][]byte

type rfcWords []string

const (
	rfcChannel = "private-rfc"
	rfcLimit   = 70_000 // of a message, in bytes; past 64 KiB, so that all three forms of a length are in use
)

// rfcFrame is a masked frame of one header's make.
func rfcFrame(h ws.Header, payload string) []byte {
	h.Length = int64(len(payload))
	return rfcAnnounce(h, payload)
}

// rfcAnnounce is rfcFrame for a header whose length may lie.
func rfcAnnounce(h ws.Header, payload string) []byte {
	h.Masked, h.Mask = true, [4]byte{0xde, 0xad, 0xbe, 0xef}
	var b strings.Builder
	if err := ws.WriteHeader(&b, h); err != nil {
		panic(err) // a builder does not fail
	}
	body := []byte(payload)
	ws.Cipher(body, h.Mask, 0)
	return append([]byte(b.String()), body...)
}

func rfcWhole(op ws.OpCode, payload string) []byte {
	return rfcFrame(ws.Header{Fin: true, OpCode: op}, payload)
}

func rfcPart(op ws.OpCode, payload string) []byte { return rfcFrame(ws.Header{OpCode: op}, payload) }

func rfcText(payload string) []byte { return rfcWhole(ws.OpText, payload) }
func rfcPing(payload string) []byte { return rfcWhole(ws.OpPing, payload) }
func rfcPong(payload string) []byte { return rfcWhole(ws.OpPong, payload) }

// rfcBegin begins a message in fragments, rfcMore goes on with it, rfcEnd ends it.
func rfcBegin(payload string) []byte { return rfcPart(ws.OpText, payload) }
func rfcMore(payload string) []byte  { return rfcPart(ws.OpContinuation, payload) }
func rfcEnd(payload string) []byte   { return rfcWhole(ws.OpContinuation, payload) }

func rfcClose(code uint16, reason string) []byte { return rfcWhole(ws.OpClose, wsClose(code, reason)) }

// rfcSay is a client event with this data, which the other subscriber hears.
func rfcSay(data string) string { return wsSay(rfcChannel, "e", data) }

// rfcAsk is a message of a size that is answered by "message pong".
func rfcAsk(size int) string {
	const ask = `{"type":"ping"}`
	return ask + strings.Repeat(" ", size-len(ask))
}

// rfcFragments cuts a message into fragments of one size.
func rfcFragments(message string, size int) rfcStream {
	var frames rfcStream
	for op := ws.OpText; len(frames) == 0 || message != ""; op = ws.OpContinuation {
		n := min(size, len(message))
		frames = append(frames, rfcFrame(ws.Header{OpCode: op, Fin: n == len(message)}, message[:n]))
		message = message[n:]
	}
	return frames
}

// closes tells whether the case ends the connection.
func (rc rfcCase) closes() bool {
	return len(rc.back) > 0 && strings.HasPrefix(rc.back[len(rc.back)-1], "close ")
}

// An rfcWay is one way to send a case: in pieces, each of which the server has most likely read when the
// next one comes.
type rfcWay struct {
	name   string
	pieces [][]byte
}

// Up to so many bytes a case is sent octet by octet, and cut in two at every position. One that ends its
// connection needs a new one for each, and so has fewer.
const (
	rfcOctets    = 400
	rfcCuts      = 200
	rfcCutsToEnd = 24
)

func (rc rfcCase) ways() []rfcWay {
	sent := slices.Concat(rc.sent...)
	ways := []rfcWay{{"at once", [][]byte{sent}}}
	if rc.closes() { // and what comes behind it is nothing to the server
		behind := slices.Concat(sent, rfcText(`{"type":"subscribe","channel":"behind"}`), rfcPing("behind"))
		ways = append(ways, rfcWay{"with more behind", [][]byte{behind}})
	}
	if len(rc.sent) > 1 {
		ways = append(ways, rfcWay{"frame by frame", rc.sent})
	}
	if len(sent) <= rfcOctets {
		ways = append(ways, rfcWay{"octet by octet", slices.Collect(slices.Chunk(sent, 1))})
	}
	if len(sent) <= rfcCutsToEnd || len(sent) <= rfcCuts && !rc.closes() {
		for cut := 1; cut < len(sent); cut++ {
			ways = append(ways, rfcWay{fmt.Sprint("cut at ", cut), [][]byte{sent[:cut], sent[cut:]}})
		}
	}
	if len(sent) <= rfcOctets {
		return ways
	}
	return append(ways,
		rfcWay{"in pieces of 997 bytes", slices.Collect(slices.Chunk(sent, 997))},
		rfcWay{"in pieces of 16 KiB and a bit", slices.Collect(slices.Chunk(sent, 16<<10+1))},
	)
}

// An rfcClient is the end of a connection that cases are sent through.
type rfcClient interface {
	Conn() net.Conn
	NextFrame() (ws.Frame, error)
}

// An rfcPeer is who sends the cases.
type rfcPeer struct {
	compression bool                                           // the server has it
	dial        func(*testing.T, *heraldtest.Server) rfcClient // which is subscribed to rfcChannel
}

func rfcDial(t *testing.T, srv *heraldtest.Server) rfcClient {
	t.Helper()
	c := srv.Dial(t)
	c.Subscribe(rfcChannel)
	return c
}

// rfcRig is a server, and one who hears what others say.
type rfcRig struct {
	srv   *heraldtest.Server
	peer  rfcPeer
	hears *heraldtest.Client
}

func runRFC(t *testing.T, cases []rfcCase) {
	t.Helper()
	rfcPeer{dial: rfcDial}.run(t, cases)
}

func (p rfcPeer) run(t *testing.T, cases []rfcCase) {
	t.Helper()
	srv := heraldtest.Start(t, herald.Config{
		Compression:  p.compression,
		Limits:       herald.Limits{MaxPayloadSize: rfcLimit},
		ClientEvents: herald.ClientEvents{Rate: 1_000_000},
	})
	witness := newWSWitness(t, srv)
	r := &rfcRig{srv: srv, peer: p, hears: srv.Dial(t)}
	r.hears.Subscribe(rfcChannel)
	t.Run("cases", func(t *testing.T) {
		for _, rc := range cases {
			t.Run(rc.section+" "+rc.name, func(t *testing.T) {
				if rc.closes() && len(rc.heard) == 0 {
					t.Parallel() // many connections, at whose ends something is waited for
				}
				r.run(t, rc)
			})
		}
	})
	r.hears.Quiet()
	witness.isUndisturbed()
	if must(srv.HasSubscribers(t.Context(), "behind")) {
		t.Error("a message behind the end was applied")
	}
}

func (r *rfcRig) run(t *testing.T, rc rfcCase) {
	var c rfcClient
	for i, way := range rc.ways() {
		if c == nil || rc.closes() || i%50 == 0 { // a connection may have 100 bad messages
			c = r.peer.dial(t, r.srv)
		}
		if got := r.send(t, c, rc, way); !slices.Equal(got, rc.back) {
			t.Fatalf("%s: got %.500q, want %.500q", way.name, got, []string(rc.back))
		}
		for _, want := range rc.heard {
			if m := r.hears.Next(); string(m.Data) != want {
				t.Fatalf("%s: another subscriber hears %.500q, want %.500q", way.name, m.Data, want)
			}
		}
	}
}

// send sends a case and returns what came back of it.
func (r *rfcRig) send(t *testing.T, c rfcClient, rc rfcCase, way rfcWay) []string {
	t.Helper()
	for i, piece := range way.pieces {
		if i > 0 && len(way.pieces) <= rfcOctets {
			r.turn(t)
		}
		wsWrite(c, piece)
	}
	const sentinel = "sentinel"
	if !rc.closes() {
		wsWrite(c, rfcPing(sentinel))
	}
	var back []string
	for {
		got := rfcNext(t, c)
		switch {
		case got == "pong "+sentinel:
			return back
		case strings.HasPrefix(got, "close "):
			if f, err := c.NextFrame(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: got the frame %+v, %v behind the close, want the end", way.name, f, err)
			}
			_ = c.Conn().Close()
			return append(back, got)
		case strings.HasPrefix(got, "error "):
			return append(back, got)
		}
		back = append(back, got)
	}
}

// turn has every loop go round, which gives what was sent the time to be read by itself.
func (r *rfcRig) turn(t *testing.T) {
	t.Helper()
	for range 2 { // the first may have begun before
		if _, err := r.srv.Disconnect(t.Context(), "1.1"); err != nil {
			t.Fatalf("ask the loops: %v", err)
		}
	}
}

// rfcNext is the server's next frame in words. It is whole, unmasked and of no extension (section 5.1, 5.2).
func rfcNext(t *testing.T, c rfcClient) string {
	t.Helper()
	f, err := c.NextFrame()
	if err != nil {
		return fmt.Sprintf("error %v", err)
	}
	if h := f.Header; h.Masked || !h.Fin || h.Rsv != 0 {
		t.Errorf("got the header %+v of a server", h)
	}
	switch f.Header.OpCode {
	case ws.OpPong:
		return "pong " + string(f.Payload)
	case ws.OpText:
		m := heraldtest.Message{}
		if err := json.Unmarshal(f.Payload, &m); err != nil {
			return fmt.Sprintf("text %q", f.Payload)
		}
		return "message " + cmp.Or(m.Code, m.Type)
	case ws.OpClose:
		if len(f.Payload) == 0 {
			return "close without a code"
		}
		code, _ := ws.ParseCloseFrameData(f.Payload)
		return fmt.Sprint("close ", code)
	}
	return fmt.Sprintf("%#x %q", f.Header.OpCode, f.Payload)
}
