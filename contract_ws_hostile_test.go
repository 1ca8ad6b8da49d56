package herald_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

// wsHeap is how much the process holds after a collection.
func wsHeap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestWebSocketTenThousandGarbageFrames(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	garbage := func(op ws.OpCode, n int) []byte {
		payload := make([]byte, n)
		for i := range payload {
			payload[i] = byte(random.Uint32())
		}
		return wsFrame(op, true, string(payload))
	}
	tests := map[string]struct {
		frame func() []byte
		code  int // 0: any; -1: it stays open
	}{
		"texts that are no messages": {func() []byte { return wsFrame(ws.OpText, true, fmt.Sprint(random.Uint64())) }, 4400},
		"bytes that are no text":     {func() []byte { return garbage(ws.OpText, 64) }, 1007},
		"any opcode":                 {func() []byte { return garbage(ws.OpCode(random.IntN(16)), random.IntN(125)) }, 0},
		"no frames":                  {func() []byte { return garbage(ws.OpBinary, 64)[8:] }, 0},
		"pongs":                      {func() []byte { return garbage(ws.OpPong, 125) }, -1},
	}
	srv := heraldtest.Start(t, herald.Config{})
	witness := newWSWitness(t, srv)
	before := wsHeap()
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := srv.Dial(t)
			var flood []byte
			for range 10_000 {
				flood = append(flood, tt.frame()...)
			}
			if tt.code < 0 {
				wsWrite(c, flood)
				c.Quiet()
				return
			}
			go wsWrite(c, flood) // who is closed need not read it all
			_, err := c.TryNext()
			for err == nil {
				_, err = c.TryNext()
			}
			if e, ok := errors.AsType[*heraldtest.CloseError](err); !ok || tt.code != 0 && e.Code != tt.code {
				t.Errorf("got %v, want a close with %d", err, tt.code)
			}
		})
		witness.isUndisturbed()
	}
	if grown := wsHeap() - before; grown > 16<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
}

// Memory grows with what has come, never with what a header announces.
func TestWebSocketAnnouncedLengthTakesNoMemory(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{Limits: herald.Limits{MaxPayloadSize: 2 << 30}})
	witness := newWSWitness(t, srv)
	before := wsHeap()
	for range 20 {
		c := srv.Dial(t)
		wsWrite(c, wsHeader(0x81, 0xff, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0)) // 1 GiB
		wsWrite(c, []byte(strings.Repeat(" ", 10_000)))
	}
	for range 5 { // the readers are at it
		witness.isUndisturbed()
		if grown := wsHeap() - before; grown > 16<<20 {
			t.Errorf("20 announcements of 1 GiB made the heap grow by %d bytes", grown)
		}
	}
}

func TestWebSocketFragmentsThatNeverEnd(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{})
	witness := newWSWitness(t, srv)
	before := wsHeap()
	t.Run("with something in them", func(t *testing.T) {
		c := srv.Dial(t)
		flood := wsFrame(ws.OpText, false, "")
		for range 20_000 {
			flood = append(flood, wsFrame(ws.OpContinuation, false, strings.Repeat(" ", 100))...)
		}
		go wsWrite(c, flood)
		c.ExpectClose(1009)
	})
	t.Run("empty", func(t *testing.T) { // of which a message may have some
		c := srv.Dial(t)
		message := wsFrame(ws.OpText, false, "")
		for range 10_000 {
			message = append(message, wsFrame(ws.OpContinuation, false, "")...)
		}
		wsWrite(c, append(message, wsFrame(ws.OpContinuation, true, `{"type":"ping"}`)...))
		c.Expect(`{"type":"pong"}`)
	})
	t.Run("empty without end", func(t *testing.T) {
		c := srv.Dial(t)
		flood := wsFrame(ws.OpText, false, "")
		for range 20_000 {
			flood = append(flood, wsFrame(ws.OpContinuation, false, "")...)
		}
		go wsWrite(c, flood)
		c.ExpectClose(1009)
	})
	witness.isUndisturbed()
	if grown := wsHeap() - before; grown > 16<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
}

func TestWebSocketLargeMessages(t *testing.T) {
	const million = 1_000_000
	srv := heraldtest.Start(t, herald.Config{Limits: herald.Limits{MaxPayloadSize: 8 << 20, MaxQueue: 16 << 20}})
	witness := newWSWitness(t, srv)
	c := srv.Dial(t, heraldtest.WithToken(srv.Token("ann", wsAll)))
	c.Next()
	c.Subscribe("private-x")
	zeros := "[" + strings.Repeat("0,", million-1) + "0]"
	texts := "[" + strings.Repeat(`"a",`, million-1) + `"a"]`
	tests := []struct{ name, text, code string }{
		{"array in the place of a name", `{"type":"subscribe","channel":` + zeros + `}`, "bad_message"},
		{"array of numbers for events", `{"type":"subscribe","events":` + zeros + `}`, "bad_message"},
		{"array of texts for events", `{"type":"subscribe","events":` + texts + `}`, "limit_reached"},
		{"array as a message", texts, "bad_message"},
		{"deep arrays", strings.Repeat("[", million), "bad_message"},
		{"deep data", wsSay("private-x", "e", strings.Repeat("[", million)+strings.Repeat("]", million)), "bad_message"},
		{"deep objects", strings.Repeat(`{"a":`, million), "bad_message"},
		{"a million keys", `{"type":"ping"` + strings.ReplaceAll(strings.Repeat(`,"a":0`, million), `"a"`, `"b"`) + "}", "bad_message"},
		{"a long type", `{"type":"` + strings.Repeat("x", million) + `"}`, "bad_message"},
		{"a long key twice", `{"` + strings.Repeat("x", million) + `":1,"` + strings.Repeat("x", million) + `":1}`, "bad_message"},
		{"a long pattern", `{"type":"subscribe","events":["` + strings.Repeat("*.", million) + `"]}`, "bad_message"},
		{"a long event", wsSay("private-x", strings.Repeat("x", million), "1"), "bad_message"},
		{"a long channel", wsSay(strings.Repeat("x", million), "e", "1"), "bad_channel"},
		{"a long number", `{"type":"subscribe","channel":"x","since":{"epoch":"e","offset":1` + strings.Repeat("0", million) + `}}`, "bad_message"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c.Send(tt.text)
			if got := c.Next(); got.Code != tt.code || len(got.Raw) > 1000 {
				t.Errorf("got %.1000s, want a short refusal with the code %s", got.Raw, tt.code)
			}
			witness.isUndisturbed()
		})
	}
	other := srv.Dial(t)
	other.Subscribe("private-x")
	c.Send(wsSay("private-x", "e", zeros)) // large is not bad
	if m := other.Next(); string(m.Data) != zeros {
		t.Errorf("got data of %d bytes, want %d", len(m.Data), len(zeros))
	}
	c.Quiet()
}

// wsOwnHTTP serves as an application does that bounds handshakes.
func wsOwnHTTP(t *testing.T, handshakes time.Duration) *heraldtest.Server {
	t.Helper()
	srv := heraldtest.New(t, herald.Config{})
	return srv.Listen(t, srv.Handler(), func(web *http.Server) {
		web.ReadHeaderTimeout = handshakes
		web.MaxHeaderBytes = 64 << 10
	})
}

const wsRequest = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

func TestWebSocketHandshakesThatStopHalfWay(t *testing.T) {
	srv := wsOwnHTTP(t, 50*time.Millisecond)
	witness := newWSWitness(t, srv)
	for _, part := range []string{"", "GET", wsRequest, wsRequest[:len(wsRequest)-10]} {
		conn, reader := wsRaw(t, srv)
		if _, err := io.WriteString(conn, part); err != nil {
			t.Fatal(err)
		}
		if answer, err := io.ReadAll(reader); err != nil || strings.Contains(string(answer), " 101 ") {
			t.Errorf("%q: got %q, %v, want the end", part, answer, err)
		}
	}
	witness.isUndisturbed() // the time for a handshake is over, and that is nothing to a connection
}

func TestWebSocketHandshakeInPieces(t *testing.T) {
	srv := wsOwnHTTP(t, 10*time.Second)
	conn, reader := wsRaw(t, srv)
	request := wsRequest + "\r\n" + string(wsFrame(ws.OpText, true, `{"type":"ping"}`)) // the first message does not wait for the answer
	for i := range len(request) {
		if _, err := io.WriteString(conn, request[i:i+1]); err != nil {
			t.Fatal(err)
		}
	}
	res, err := http.ReadResponse(reader, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("got %v, %v, want 101", res, err)
	}
	for _, want := range []string{`"connected"`, `{"type":"pong"}`} {
		f, err := wsReadFrame(reader)
		if err != nil || !strings.Contains(string(f.Payload), want) {
			t.Errorf("got %s, %v, want %s", f.Payload, err, want)
		}
	}
}

func TestWebSocketHeadersWithoutEnd(t *testing.T) {
	srv := wsOwnHTTP(t, 10*time.Second)
	witness := newWSWitness(t, srv)
	for name, line := range map[string]string{
		"many headers":  "X-Header: value\r\n",
		"one header":    strings.Repeat("x", 1000),
		"many cookies":  "Cookie: a=b\r\n",
		"many origins":  "Origin: http://a\r\n",
		"many protocol": "Sec-WebSocket-Protocol: herald.v1\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			conn, reader := wsRaw(t, srv)
			request := wsRequest
			if name == "one header" {
				request += "X-Header: "
			}
			if _, err := io.WriteString(conn, request+strings.Repeat(line, 100<<10/len(line)+1)); err != nil {
				return // it was cut before it had said all
			}
			res, err := http.ReadResponse(reader, nil)
			if err == nil && res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
				t.Errorf("got %s, want 431 or the end", res.Status)
			}
		})
	}
	witness.isUndisturbed()
}
