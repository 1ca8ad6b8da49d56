package herald_test

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
	"github.com/herald-events/herald/internal/clock"
)

// wsPatience is how long these tests wait for what must come.
const wsPatience = 20 * time.Second

// wsStartAt runs a server whose time stands still until the test moves it. Unless config says
// otherwise nobody is pinged, however far it is moved.
func wsStartAt(t *testing.T, config herald.Config) (*heraldtest.Server, *clock.Manual) {
	t.Helper()
	if config.KeepAlive.PingInterval == 0 {
		config.KeepAlive.PingInterval = 1000 * time.Hour
	}
	k := clock.NewManual(time.Now())
	return heraldtest.Start(t, herald.WithClock(config, k)), k
}

// wsTokenUntil mints a user's token that is good until then.
func wsTokenUntil(srv *heraldtest.Server, user string, until time.Time, claims ...map[string]any) string {
	return srv.Token(user, append(claims, map[string]any{"exp": until.Unix()})...)
}

// wsEventually waits for what no message tells.
func wsEventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(wsPatience); !holds(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: it never was so", what)
		}
	}
}

// wsHandshake asks for a WebSocket and returns whatever the server answers.
func wsHandshake(t *testing.T, srv *heraldtest.Server, header http.Header) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "websocket")
	req.Header.Set("Sec-WebSocket-Version", "13")
	req.Header.Set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
	for name, values := range header {
		req.Header[name] = values
	}
	if host := header.Get("Host"); host != "" {
		req.Host = host
	}
	conn, reader := wsRaw(t, srv)
	if err := req.Write(conn); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(reader, req)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// wsRaw is a connection to the server's port on which nothing has been said yet.
func wsRaw(t *testing.T, srv *heraldtest.Server) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn := srv.DialRaw(t)
	return conn, bufio.NewReader(conn)
}

// wsReset ends a connection with a reset of TCP instead of an orderly end.
func wsReset(conn net.Conn) {
	if over, ok := conn.(*tls.Conn); ok {
		conn = over.NetConn()
	}
	_ = conn.(*net.TCPConn).SetLinger(0) // fails for a connection that is over
	_ = conn.Close()
}

// wsWrite sends bytes that are no whole frame, or no frame at all. The server may have closed already.
func wsWrite(c interface{ Conn() net.Conn }, b []byte) { _, _ = c.Conn().Write(b) }

// wsFrame is a masked frame as it goes over the wire; the mask is zero.
func wsFrame(op ws.OpCode, final bool, payload string) []byte {
	f := ws.NewFrame(op, final, []byte(payload))
	f.Header.Masked = true
	return ws.MustCompileFrame(f)
}

// wsClose is the payload of a close frame.
func wsClose(code uint16, reason string) string {
	return string(binary.BigEndian.AppendUint16(nil, code)) + reason
}

// wsHeader is a client's frame header as it stands, however wrong.
func wsHeader(first, second byte, rest ...byte) []byte { return append([]byte{first, second}, rest...) }

// wsReadFrame reads a frame of the server from a connection of the test's own.
func wsReadFrame(r io.Reader) (ws.Frame, error) {
	h, err := ws.ReadHeader(r)
	if err != nil {
		return ws.Frame{}, err
	}
	f := ws.Frame{Header: h, Payload: make([]byte, h.Length)}
	_, err = io.ReadFull(r, f.Payload)
	return f, err
}

// wsMetric reads one counter or gauge; labels are pairs of names and values.
func wsMetric(t *testing.T, registry *prometheus.Registry, name string, labels ...string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for i := 0; i < len(labels); i += 2 {
		want[labels[i]] = labels[i+1]
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
	metrics:
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if want[l.GetName()] != l.GetValue() {
					continue metrics
				}
			}
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return 0
}

// wsWitness is a connection that hears and answers while others misbehave.
type wsWitness struct {
	t   *testing.T
	srv *heraldtest.Server
	c   *heraldtest.Client
	n   int
}

func newWSWitness(t *testing.T, srv *heraldtest.Server) *wsWitness {
	t.Helper()
	w := &wsWitness{t: t, srv: srv, c: srv.Dial(t)}
	w.c.Subscribe("witness")
	return w
}

// isUndisturbed has the witness hear one more message, as the very next, and get one more answer.
func (w *wsWitness) isUndisturbed() {
	w.t.Helper()
	w.n++
	if err := w.srv.Broadcast(w.t.Context(), "witness", "tick", w.n); err != nil {
		w.t.Fatalf("broadcast: %v", err)
	}
	w.c.Expect(fmt.Sprintf(`{"type":"event","channel":"witness","event":"tick","data":%d}`, w.n))
	w.c.Quiet()
}

// wsSignBare signs a presence channel without channel_data, as a backend does that leaves the member
// to the client.
func wsSignBare(c *heraldtest.Client, channel string) string {
	return wsHMAC(c.SocketID, c.SocketID+":"+channel)
}

// wsSignAnyhow signs whatever channel_data says.
func wsSignAnyhow(c *heraldtest.Client, channel, channelData string) string {
	return wsHMAC(c.SocketID, c.SocketID+":"+channel+":"+channelData)
}

func wsHMAC(socketID, text string) string {
	mac := hmac.New(sha256.New, []byte(heraldtest.AuthSecret))
	mac.Write([]byte(text))
	return socketID + ":" + hex.EncodeToString(mac.Sum(nil))
}

// wsEnded is a context that is over.
func wsEnded(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
