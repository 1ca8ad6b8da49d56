package socket_test

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// link is how the connections of a rig travel.
type link struct {
	name string
	wrap func(*net.TCPConn) net.Conn            // the server's end, before it is attached
	dial func(*net.TCPConn) (halfCloser, error) // the client's end, after that
}

// The links: a descriptor that the loop owns, where there are such, and two that goroutines carry.
var (
	owned   = link{"descriptor", func(c *net.TCPConn) net.Conn { return c }, plain}
	carried = link{"carried", func(c *net.TCPConn) net.Conn { return struct{ *net.TCPConn }{c} }, plain}
	secured = link{
		"TLS",
		func(c *net.TCPConn) net.Conn { return tls.Server(c, keys()) },
		func(c *net.TCPConn) (halfCloser, error) {
			conn := tls.Client(c, &tls.Config{InsecureSkipVerify: true}) // loopback
			return conn, conn.Handshake()
		},
	}
)

func plain(c *net.TCPConn) (halfCloser, error) { return c, nil }

// keys are a server's.
var keys = sync.OnceValue(func() *tls.Config {
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS() // for its certificate
	defer s.Close()
	return &tls.Config{Certificates: s.TLS.Certificates}
})

// overLinks runs a test over each link: nobody can tell the difference.
func overLinks(t *testing.T, test func(*testing.T, link)) {
	t.Helper()
	for _, over := range []link{owned, carried, secured} {
		t.Run(over.name, func(t *testing.T) { test(t, over) })
	}
}

// peer is the client's end of a WebSocket.
type peer struct {
	t      testing.TB
	conn   halfCloser
	tcp    *net.TCPConn // below it
	reader *bufio.Reader
}

// halfCloser is a connection of which either end can be closed alone.
type halfCloser interface {
	net.Conn
	CloseWrite() error
}

// peer takes the client's end of a connection that is attached.
func (r *rig) peer(client *net.TCPConn) *peer {
	r.t.Helper()
	if err := client.SetDeadline(time.Now().Add(patience)); err != nil {
		r.t.Fatal(err)
	}
	conn, err := r.over.dial(client)
	if err != nil {
		r.t.Fatal(err)
	}
	return &peer{t: r.t, conn: conn, tcp: client, reader: bufio.NewReader(conn)}
}

func (p *peer) write(b []byte) {
	p.t.Helper()
	if _, err := p.conn.Write(b); err != nil {
		p.t.Fatalf("write: %v", err)
	}
}

// nextRaw reads a frame, whatever it says of itself.
func (p *peer) nextRaw() ws.Frame {
	p.t.Helper()
	f, err := readFrame(p.reader)
	if err != nil {
		p.t.Fatalf("read a frame: %v", err)
	}
	return f
}

// next reads a frame, which a server sends unmasked and whole.
func (p *peer) next() ws.Frame {
	p.t.Helper()
	f := p.nextRaw()
	if err := ws.CheckHeader(f.Header, ws.StateClientSide); err != nil {
		p.t.Fatalf("the server sent a bad frame: %v", err)
	}
	return f
}

// readFrame reads a frame of the server, whose length can be believed.
func readFrame(from io.Reader) (ws.Frame, error) {
	h, err := ws.ReadHeader(from)
	if err != nil {
		return ws.Frame{}, err
	}
	f := ws.Frame{Header: h, Payload: make([]byte, h.Length)}
	_, err = io.ReadFull(from, f.Payload)
	return f, err
}

func (p *peer) wantText(want string) {
	p.t.Helper()
	if f := p.next(); f.Header.OpCode != ws.OpText || string(f.Payload) != want {
		p.t.Fatalf("got the frame %v %.100q, want the text %.100q", f.Header, f.Payload, want)
	}
}

// wantClose reads the close frame, and the end of the stream behind it.
func (p *peer) wantClose(code uint16) {
	p.t.Helper()
	f := p.next()
	got, text := ws.ParseCloseFrameData(f.Payload)
	if f.Header.OpCode != ws.OpClose || uint16(got) != code {
		p.t.Fatalf("got the frame %v with the code %d %q, want a close with %d", f.Header, got, text, code)
	}
	p.wantEnd()
}

func (p *peer) wantEnd() {
	p.t.Helper()
	if rest, err := io.ReadAll(p.reader); err != nil || len(rest) > 0 {
		p.t.Fatalf("after the last frame: %d more bytes, %v; want the end of the stream", len(rest), err)
	}
}

// reset ends the connection so that the server's kernel hears of it at once, whatever is unread.
func (p *peer) reset() {
	p.t.Helper()
	if err := p.tcp.SetLinger(0); err != nil {
		p.t.Fatal(err)
	}
	_ = p.tcp.Close() // it may be closed already
}
