package socket_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/herald-events/herald/internal/socket"
)

// attachStream attaches a new connection as an event stream, and returns the response that the
// client reads.
func (r *rig) attachStream(opts socket.Options) (*owner, *peer, *http.Response) {
	r.t.Helper()
	server, client := r.connect()
	o := newOwner(r.t)
	if err := r.loops.AttachStream(r.over.wrap(server), opts, o.take); err != nil {
		r.t.Fatal(err)
	}
	o.waitTaken()
	p := r.peer(client)
	o.do(func(c *socket.Conn) { c.Send([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")) })
	res, err := http.ReadResponse(p.reader, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return o, p, res
}

func wantBody(t *testing.T, body io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(body, got); err != nil || string(got) != want {
		t.Fatalf("got %q, %v, want %q", got, err, want)
	}
}

// notice is a message in both shapes.
type notice string

// Text implements socket.Message.
func (n notice) Text() []byte { return []byte(n) }

// Block implements socket.Message.
func (n notice) Block() []byte { return []byte("data: " + n + "\n\n") }

func TestStream(t *testing.T) {
	overLinks(t, func(t *testing.T, over link) {
		r := newRig(t, over, socket.Config{})
		o, p, res := r.attachStream(socket.Options{})
		o.do(func(c *socket.Conn) {
			c.SendFrame(socket.NewFrame(notice("a")))
			c.SendBlock([]byte("data: b\n\n"))
		})
		wantBody(t, res.Body, "data: a\n\ndata: b\n\n")
		p.write([]byte("nobody listens to this"))
		o.do(func(c *socket.Conn) {
			c.SendFrame(socket.NewFrame(notice("last")))
			c.Close(socket.GoingAway)
		})
		wantBody(t, res.Body, "data: last\n\n")
		if rest, err := io.ReadAll(res.Body); err != nil || len(rest) > 0 {
			t.Errorf("at the end: got %q, %v, want the last chunk", rest, err)
		}
		p.wantEnd()
		o.wantClosed(socket.GoingAway)
	})
}

func TestStreamWhosePeerGoes(t *testing.T) {
	overLinks(t, func(t *testing.T, over link) {
		r := newRig(t, over, socket.Config{})
		o, p, _ := r.attachStream(socket.Options{})
		if err := p.conn.Close(); err != nil {
			t.Fatal(err)
		}
		o.wantClosed(socket.Gone)
	})
}

// TestSlowStream ends in the last chunk, which a client can tell from a cut.
func TestSlowStream(t *testing.T) {
	overLinks(t, func(t *testing.T, over link) {
		r := newRig(t, over, socket.Config{MaxQueue: 64 << 10})
		o, _, res := r.attachStream(socket.Options{})
		sent := 0
		block := "data: " + strings.Repeat("x", 1000) + "\n\n"
		o.do(func(c *socket.Conn) {
			for ; !c.Closed(); sent++ {
				c.SendBlock([]byte(block))
			}
		})
		o.wantClosed(socket.SlowConsumer)
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(body) / len(block); string(body) != strings.Repeat(block, n) || n >= sent {
			t.Errorf("got %d bytes of %d blocks of %d, want whole blocks, and fewer than were sent", len(body), sent, len(block))
		}
	})
}

// served is an HTTP server whose one handler streams to its end.
type served struct {
	*httptest.Server
	owners   chan *owner
	returned chan struct{} // a handler is about to
}

func (r *rig) serve(proto string) *served {
	r.t.Helper()
	s := &served{owners: make(chan *owner, 1), returned: make(chan struct{}, 1)}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Proto != proto {
			r.t.Errorf("the request came over %s, want %s", req.Proto, proto)
		}
		guard := &guarded{ResponseWriter: w, t: r.t}
		o := newOwner(r.t)
		s.owners <- o
		if err := r.loops.ServeStream(guard, req, socket.Options{}, o.take); err != nil {
			r.t.Errorf("serve: %v", err)
		}
		guard.over = true
		s.returned <- struct{}{}
	}))
	if proto == "HTTP/2.0" {
		s.EnableHTTP2 = true
		s.StartTLS()
	} else {
		s.Start()
	}
	r.t.Cleanup(s.Close)
	r.t.Cleanup(r.stop) // before Close, which waits for the handlers
	return s
}

// guarded notices writes after the handler has returned, as does the race detector: over has no lock.
type guarded struct {
	http.ResponseWriter
	t    testing.TB
	over bool
}

func (g *guarded) Write(b []byte) (int, error) {
	g.check()
	return g.ResponseWriter.Write(b)
}

func (g *guarded) FlushError() error {
	g.check()
	return http.NewResponseController(g.ResponseWriter).Flush()
}

func (g *guarded) Unwrap() http.ResponseWriter { return g.ResponseWriter }

func (g *guarded) check() {
	if g.over {
		g.t.Error("the response was written to after its handler had returned")
	}
}

// open begins a stream; cancel is how its client goes away.
func (s *served) open(t *testing.T) (o *owner, body io.Reader, cancel func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	type answer struct {
		res *http.Response
		err error
	}
	answers := make(chan answer, 1)
	go func() {
		res, err := s.Client().Do(req)
		answers <- answer{res, err}
	}()
	o = receive(t, s.owners, "the handler")
	o.waitTaken()
	o.do(func(c *socket.Conn) { c.SendBlock([]byte("hello\n\n")) }) // with the head of the response
	a := receive(t, answers, "the response")
	if a.err != nil {
		t.Fatal(a.err)
	}
	t.Cleanup(func() { _ = a.res.Body.Close() })
	wantBody(t, a.res.Body, "hello\n\n")
	return o, a.res.Body, cancel
}

func TestServeStream(t *testing.T) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(proto, func(t *testing.T) {
			r := newRig(t, owned, socket.Config{})
			s := r.serve(proto)
			o, body, _ := s.open(t)
			var want bytes.Buffer
			o.do(func(c *socket.Conn) {
				for i := range 100 {
					f := socket.NewFrame(notice(fmt.Sprint(i)))
					c.SendFrame(f)
					want.Write(f.Bytes(socket.Stream))
				}
				c.Close(socket.GoingAway)
			})
			o.wantClosed(socket.GoingAway)
			got, err := io.ReadAll(body)
			if err != nil || !bytes.Equal(got, want.Bytes()) {
				t.Errorf("got %d bytes, %v, want %d and a clean end", len(got), err, want.Len())
			}
			receive(t, s.returned, "the handler's return")
		})
	}
}

// TestResponseIsNotWrittenToAfterItsHandler has clients leave while much is being sent.
func TestResponseIsNotWrittenToAfterItsHandler(t *testing.T) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(proto, func(t *testing.T) {
			r := newRig(t, owned, socket.Config{})
			s := r.serve(proto)
			for range 10 {
				o, _, cancel := s.open(t)
				var send func()
				send = func() {
					if !o.conn.Closed() {
						o.conn.SendBlock([]byte("data: more\n\n"))
						o.conn.Loop().Post(send)
					}
				}
				o.conn.Loop().Post(send)
				cancel()
				receive(t, s.returned, "the handler's return")
				receive(t, o.closed, "Closed")
			}
		})
	}
}

// TestServeStreamEndsWithTheLoops also where the client reads nothing.
func TestServeStreamEndsWithTheLoops(t *testing.T) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(proto, func(t *testing.T) {
			r := newRig(t, owned, socket.Config{MaxQueue: 64 << 20})
			s := r.serve(proto)
			o, _, _ := s.open(t)
			o.do(func(c *socket.Conn) {
				for range 32 {
					c.SendBlock(make([]byte, 1<<20))
				}
			})
			r.stop()
			receive(t, s.returned, "the handler's return")
			receive(t, o.closed, "Closed")
		})
	}
}
