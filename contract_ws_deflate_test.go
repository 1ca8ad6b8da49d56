package herald_test

import (
	"bufio"
	"bytes"
	"compress/flate"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
	"github.com/herald-events/herald/internal/browsertest"
)

const wsExtensions = "Sec-Websocket-Extensions"

// Offers are answered, or left unanswered, which declines them; a handshake never fails for one (RFC 7692
// sections 5 and 7.1).
func TestWebSocketCompressionOffers(t *testing.T) {
	const agreed = "permessage-deflate;server_no_context_takeover;client_no_context_takeover"
	tests := []struct {
		name   string
		offers []string // one a header
		want   string   // empty: declined
	}{
		{"none", nil, ""},
		{"plain", []string{"permessage-deflate"}, agreed},
		{"of a browser", []string{"permessage-deflate; client_max_window_bits"}, agreed},
		{"a small window of the client's", []string{"permessage-deflate; client_max_window_bits=8"}, agreed},
		{"the client's widest window", []string{"permessage-deflate; client_max_window_bits=15"}, agreed},
		{"no takeover of the server's", []string{"permessage-deflate; server_no_context_takeover"}, agreed},
		{"no takeover of the client's", []string{"permessage-deflate; client_no_context_takeover"}, agreed},
		{"the server's widest window", []string{"permessage-deflate; server_max_window_bits=15"}, agreed + ";server_max_window_bits=15"},
		{"the server's widest window, quoted", []string{`permessage-deflate; server_max_window_bits="15"`}, agreed + ";server_max_window_bits=15"},
		{"everything", []string{"permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=15; client_max_window_bits=10"}, agreed + ";server_max_window_bits=15"},
		{"a window that we cannot promise", []string{"permessage-deflate; server_max_window_bits=14"}, ""},
		{"the smallest window", []string{"permessage-deflate; server_max_window_bits=8"}, ""},
		{"a window and what to do without it", []string{"permessage-deflate; server_max_window_bits=10, permessage-deflate"}, agreed},
		{"the same in two headers", []string{"permessage-deflate; server_max_window_bits=10", "permessage-deflate"}, agreed},
		{"two that are both good", []string{"permessage-deflate; server_max_window_bits=15, permessage-deflate"}, agreed + ";server_max_window_bits=15"},
		{"behind another extension", []string{"x-webkit-deflate-frame, permessage-deflate"}, agreed},
		{"another extension", []string{"permessage-bzip2"}, ""},
		{"an unknown parameter", []string{"permessage-deflate; level=9"}, ""},
		{"an unknown parameter and what to do without it", []string{"permessage-deflate; level=9, permessage-deflate"}, agreed},
		{"a window without a size", []string{"permessage-deflate; server_max_window_bits"}, ""},
		{"a window that is too small", []string{"permessage-deflate; server_max_window_bits=7"}, ""},
		{"a window that is too large", []string{"permessage-deflate; server_max_window_bits=16"}, ""},
		{"a client's window that is too large", []string{"permessage-deflate; client_max_window_bits=16"}, ""},
		{"a window that is no number", []string{"permessage-deflate; client_max_window_bits=x"}, ""},
		{"a size with a leading zero", []string{"permessage-deflate; server_max_window_bits=015"}, ""},
		{"a takeover with a value", []string{"permessage-deflate; server_no_context_takeover=1"}, ""},
		{"a parameter twice", []string{"permessage-deflate; server_no_context_takeover; server_no_context_takeover"}, ""},
		{"a window twice", []string{"permessage-deflate; server_max_window_bits=15; server_max_window_bits=15"}, ""},
		{"a client's window twice", []string{"permessage-deflate; client_max_window_bits; client_max_window_bits"}, ""},
		{"another case", []string{"Permessage-Deflate"}, ""},
	}
	on, off := heraldtest.Start(t, herald.Config{Compression: true}), heraldtest.Start(t, herald.Config{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for srv, want := range map[*heraldtest.Server]string{on: tt.want, off: ""} {
				res := wsHandshake(t, srv, http.Header{wsExtensions: tt.offers})
				got := strings.ReplaceAll(strings.Join(res.Header.Values(wsExtensions), ", "), " ", "")
				if res.StatusCode != http.StatusSwitchingProtocols || got != want {
					t.Errorf("got %s with %q, want %q (compression is on: %v)", res.Status, got, want, srv == on)
				}
			}
		})
	}
}

// wsDeflated is a client that agreed on compression.
type wsDeflated struct {
	socketID string

	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func dialDeflated(t *testing.T, srv *heraldtest.Server) *wsDeflated {
	t.Helper()
	conn, in := wsRaw(t, srv)
	_, err := fmt.Fprintf(conn, "GET /ws HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s: permessage-deflate\r\n\r\n",
		strings.TrimPrefix(strings.TrimPrefix(srv.URL, "https://"), "http://"), wsExtensions)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(in, nil)
	if err != nil || res.Header.Get(wsExtensions) == "" {
		t.Fatalf("got %v, %v, want compression", res, err)
	}
	c := &wsDeflated{t: t, conn: conn, in: in}
	var hello struct{ Data struct{ SocketID string } }
	if text, _ := c.next(); json.Unmarshal([]byte(text), &hello) != nil || hello.Data.SocketID == "" {
		t.Fatalf("got %s, want the greeting", text)
	}
	c.socketID = hello.Data.SocketID
	return c
}

// Conn is the connection below.
func (c *wsDeflated) Conn() net.Conn { return c.conn }

// NextFrame waits for the next frame, and returns it as it would be without compression.
func (c *wsDeflated) NextFrame() (ws.Frame, error) {
	if err := c.conn.SetDeadline(time.Now().Add(wsPatience)); err != nil {
		return ws.Frame{}, err
	}
	f, err := wsReadFrame(c.in)
	if !wsIsPacked(f) {
		return f, err
	}
	f.Header.Rsv = 0
	f.Payload, err = wsInflate(f.Payload)
	return f, err
}

// wsIsPacked tells whether a frame is a compressed text, and says nothing else with its reserved bits.
func wsIsPacked(f ws.Frame) bool {
	return f.Header.OpCode == ws.OpText && f.Header.Rsv == ws.Rsv(true, false, false)
}

// next is a message, and whether it came compressed.
func (c *wsDeflated) next() (text string, compressed bool) {
	c.t.Helper()
	f, err := wsReadFrame(c.in)
	compressed = wsIsPacked(f)
	if err != nil || f.Header.OpCode != ws.OpText || !f.Header.Fin || f.Header.Rsv != 0 && !compressed {
		c.t.Fatalf("got the frame %v, %v, want a text", f.Header, err)
	}
	if !compressed {
		return string(f.Payload), false
	}
	inflated, err := wsInflate(f.Payload)
	if err != nil {
		c.t.Fatalf("inflate: %v", err)
	}
	return string(inflated), true
}

// wsFlushed ends what a flush wrote, and is left out on the wire (RFC 7692 section 7.2.1).
const wsFlushed = "\x00\x00\xff\xff"

// wsInflate undoes the compression of a message (RFC 7692 section 7.2.2).
func wsInflate(packed []byte) ([]byte, error) {
	whole := io.MultiReader(bytes.NewReader(packed), strings.NewReader(wsFlushed+"\x01"+wsFlushed))
	return io.ReadAll(flate.NewReader(whole))
}

// wsSqueeze compresses a message as a client does.
func wsSqueeze(message string) string { return wsSqueezeBehind("", message, flate.BestCompression) }

// wsSqueezeBehind is wsSqueeze at a level, for a message that may point into what was said before it.
func wsSqueezeBehind(before, message string, level int) string {
	var packed strings.Builder
	w, err := flate.NewWriterDict(&packed, level, []byte(before))
	if err != nil {
		panic(err) // the levels are such that there are
	}
	_, _ = io.WriteString(w, message) // a builder does not fail
	_ = w.Flush()
	return strings.TrimSuffix(packed.String(), wsFlushed)
}

func (c *wsDeflated) wantMessage(part string) {
	c.t.Helper()
	if got, _ := c.next(); !strings.Contains(got, part) {
		c.t.Fatalf("got %s, want something with %s", got, part)
	}
}

func (c *wsDeflated) send(message string) {
	c.t.Helper()
	f := ws.NewTextFrame([]byte(wsSqueeze(message)))
	f.Header.Rsv = ws.Rsv(true, false, false)
	if _, err := c.conn.Write(ws.MustCompileFrame(ws.MaskFrame(f))); err != nil {
		c.t.Fatal(err)
	}
}

// Whoever agreed on compression and whoever did not hear the same.
func TestWebSocketCompressedMessages(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{Compression: true, Limits: herald.Limits{MaxPayloadSize: 64 << 10}})
	c, plain := dialDeflated(t, srv), srv.Dial(t)
	c.send(`{"type":"subscribe","channel":"orders"}`)
	c.wantMessage("subscription_succeeded")
	plain.Subscribe("orders")
	for _, data := range []string{"small", strings.Repeat("a long and repetitive text; ", 1000), strings.Repeat("é€𝄞", 5000), "small again"} {
		if err := srv.Broadcast(t.Context(), "orders", "said", data); err != nil {
			t.Fatal(err)
		}
		got, compressed := c.next()
		if want := plain.Next().Raw; got != want {
			t.Errorf("got %.100s, want %.100s", got, want)
		}
		if want := len(data) > 1000; compressed != want {
			t.Errorf("%.100s came compressed: %v, want %v", got, compressed, want)
		}
	}
	for range 3 {
		c.send(`{"type":"ping"}`)
		c.wantMessage(`"pong"`)
	}
	c.send(`{"type":"ping","x":"` + strings.Repeat("x", 64<<10) + `"}`)
	f, err := wsReadFrame(c.in)
	if code, _ := ws.ParseCloseFrameData(f.Payload); err != nil || f.Header.OpCode != ws.OpClose || code != ws.StatusMessageTooBig {
		t.Errorf("got the frame %v, %v, want a close with 1009", f.Header, err)
	}
}

func testBrowserCompression(t *testing.T, b *browsertest.Browser) {
	s := newBrowserSite(t, herald.Config{Compression: true})
	w := s.open(t, b)
	w.Do(`window.socket = new WebSocket(server.replace("http", "ws") + "/ws");
		await listen(socket);
		socket.send(JSON.stringify({ type: "subscribe", channel: "orders" }));`)
	w.Await(`came({ type: "subscription_succeeded", channel: "orders" })`)
	if got := browsertest.Result[string](w, `return socket.extensions;`); !strings.HasPrefix(got, "permessage-deflate") {
		t.Fatalf("the browser has the extensions %q, want compression", got)
	}
	long := strings.Repeat("a long and repetitive text, é€𝄞; ", 1000)
	for i, data := range []string{"small", long, long, "small again", long + "and more"} {
		if err := s.Broadcast(t.Context(), "orders", fmt.Sprint("n", i), data); err != nil {
			t.Fatal(err)
		}
		w.Await(fmt.Sprintf(`came({ type: "event", channel: "orders", event: "n%d", data: %q })`, i, data))
	}
	w.Do(fmt.Sprintf(`socket.send(JSON.stringify({ type: "ping", filler: %q }));`, long)) // which it compresses
	w.Await(`came({ type: "pong" })`)
	wantQuietConsole(t, w)
}
