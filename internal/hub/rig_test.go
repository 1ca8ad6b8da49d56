package hub_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/herald-events/herald/internal/clock"
	"github.com/herald-events/herald/internal/hub"
	"github.com/herald-events/herald/internal/socket"
)

// patience is how long a test waits for what must come: only what never comes fails.
const patience = 20 * time.Second

// rig is a hub whose loops run, and a listener for its connections.
type rig struct {
	t        testing.TB
	over     link // how the next connection travels; the zero value is the first of links
	hub      *hub.Hub
	loops    *socket.Loops
	listener *net.TCPListener
	stop     func() // ends the loops and waits for them
}

func newRig(t testing.TB, loops int) *rig {
	t.Helper()
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, listener: listener}
	r.hub, r.loops = hub.New(socket.Config{Loops: loops, MaxQueue: 16 << 20, Clock: clock.System()})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.loops.Run(ctx)
	}()
	r.stop = sync.OnceFunc(func() {
		cancel()
		<-ended
		_ = listener.Close()
	})
	t.Cleanup(r.stop)
	<-r.loops.Started()
	return r
}

// link is how connections travel.
type link struct {
	name string
	wrap func(net.Conn) net.Conn // the server's end; nil: as it is
}

// links are a descriptor that the loop owns, and what goroutines carry.
var links = []link{
	{name: "descriptor"},
	{"carried", func(c net.Conn) net.Conn { return struct{ *net.TCPConn }{c.(*net.TCPConn)} }},
}

// overLinks runs a test over each of them: nobody can tell the difference.
func overLinks(t *testing.T, loops int, test func(*testing.T, *rig)) {
	t.Helper()
	for _, over := range links {
		t.Run(over.name, func(t *testing.T) {
			r := newRig(t, loops)
			r.over = over
			test(t, r)
		})
	}
}

// client is a connection with both its ends.
type client struct {
	r      *rig
	conn   net.Conn
	reader *bufio.Reader
	closed chan socket.Reason

	sub *hub.Subscriber // owned by its loop
}

// join opens a connection with that id. They are spread evenly over the loops.
func (r *rig) join(id string) *client {
	r.t.Helper()
	conn, err := net.DialTCP("tcp", nil, r.listener.Addr().(*net.TCPAddr))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		r.t.Fatal(err)
	}
	server, err := r.listener.Accept()
	if err != nil {
		r.t.Fatal(err)
	}
	if r.over.wrap != nil {
		server = r.over.wrap(server)
	}
	c := &client{r: r, conn: conn, reader: bufio.NewReader(conn), closed: make(chan socket.Reason, 1)}
	joined := make(chan struct{})
	err = r.loops.AttachWebSocket(server, socket.Options{}, func(conn *socket.Conn) socket.Owner {
		defer close(joined)
		c.sub = r.hub.Join(conn, id, c)
		return c
	})
	if err != nil {
		r.t.Fatal(err)
	}
	<-joined
	return c
}

// Received implements socket.Owner.
func (c *client) Received([]byte) {}

// Alarm implements socket.Owner.
func (c *client) Alarm(time.Time) {}

// Closed implements socket.Owner.
func (c *client) Closed(why socket.Reason) {
	c.sub.Leave()
	c.closed <- why
}

// post runs f on the client's loop, after what was posted before.
func (c *client) post(f func(*hub.Subscriber)) {
	c.r.t.Helper()
	if !c.sub.Conn.Loop().Post(func() { f(c.sub) }) {
		c.r.t.Fatal("the loop has ended")
	}
}

// do is post that waits.
func (c *client) do(f func(*hub.Subscriber)) {
	c.r.t.Helper()
	done := make(chan struct{})
	c.post(func(sub *hub.Subscriber) { f(sub); close(done) })
	<-done
}

func (c *client) subscribe(channels ...string) {
	c.r.t.Helper()
	c.do(func(sub *hub.Subscriber) {
		for _, channel := range channels {
			sub.Subscribe(channel)
		}
	})
}

// write sends one frame, masked.
func (c *client) write(f ws.Frame) {
	c.r.t.Helper()
	if _, err := c.conn.Write(ws.MustCompileFrame(ws.MaskFrame(f))); err != nil {
		c.r.t.Fatalf("write: %v", err)
	}
}

// next reads a message; the close frame is one that begins with "closed".
func (c *client) next() string {
	c.r.t.Helper()
	f, err := readFrame(c.reader)
	if err != nil {
		c.r.t.Fatalf("read a frame: %v", err)
	}
	if f.Header.OpCode == ws.OpClose {
		return "closed"
	}
	return string(f.Payload)
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

// want reads messages and compares.
func (c *client) want(want ...string) {
	c.r.t.Helper()
	for _, w := range want {
		if got := c.next(); got != w {
			c.r.t.Fatalf("got %q, want %q", got, w)
		}
	}
}

// wantAll compares all that has come.
func (c *client) wantAll(want ...string) {
	c.r.t.Helper()
	if got := c.heard(); !slices.Equal(got, want) {
		c.r.t.Fatalf("got %q, want %q", got, want)
	}
}

// heard says a last word on the loops and returns all that came before it.
func (c *client) heard() (messages []string) {
	c.r.t.Helper()
	c.do(func(*hub.Subscriber) {}) // flushes what was posted before
	c.do(func(sub *hub.Subscriber) { sub.Conn.SendText([]byte("last")) })
	for m := c.next(); m != "last"; m = c.next() {
		messages = append(messages, m)
	}
	return messages
}

// said is a message that says the same in every dialect.
type said string

// Text implements socket.Message.
func (s said) Text() []byte { return []byte(s) }

// Block implements socket.Message.
func (s said) Block() []byte { return []byte(s) }

func message(channel, text string) hub.Message {
	return hub.Message{Channel: channel, Frame: socket.NewFrame(said(text)), Size: len(text)}
}

func (r *rig) broadcast(messages ...hub.Message) {
	r.t.Helper()
	if err := r.hub.Broadcast(r.t.Context(), messages...); err != nil {
		r.t.Fatal(err)
	}
}

// pause holds every loop until resume, so that what is posted meanwhile becomes one turn.
func (r *rig) pause() (resume func()) {
	gate := make(chan struct{})
	for _, l := range r.loops.All() {
		paused := make(chan struct{})
		l.Post(func() { close(paused); <-gate })
		<-paused
	}
	resume = sync.OnceFunc(func() { close(gate) })
	r.t.Cleanup(resume)
	return resume
}
