package socket_test

import (
	"context"
	"errors"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/herald-events/herald/internal/clock"
	"github.com/herald-events/herald/internal/socket"
)

// patience is how long a test waits for what must come: only what never comes fails.
const patience = 20 * time.Second

// rig is a set of running loops and a listener whose connections they get.
type rig struct {
	t        testing.TB
	over     link
	loops    *socket.Loops
	clock    *clock.Manual
	listener net.Listener
	stop     func() // ends Run and waits for it
}

// newRig starts loops whose clock stands still. Two loops and a queue of 1 MiB unless config says
// otherwise.
func newRig(t testing.TB, over link, config socket.Config) *rig {
	t.Helper()
	r := idleRig(t, over, config)
	r.run()
	return r
}

// idleRig is newRig before run.
func idleRig(t testing.TB, over link, config socket.Config) *rig {
	t.Helper()
	r := &rig{t: t, over: over, clock: clock.NewManual(time.Unix(1_700_000_000, 0))}
	if config.Loops == 0 {
		config.Loops = 2
	}
	if config.MaxQueue == 0 {
		config.MaxQueue = 1 << 20
	}
	config.Clock = r.clock
	config.NewShard = func(*socket.Loop) socket.Shard { return noShard{} }
	r.loops = socket.New(config)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.listener = listener
	return r
}

// run starts the loops, and returns when they take connections.
func (r *rig) run() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.loops.Run(ctx)
	}()
	r.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case <-ended:
		case <-time.After(patience):
			r.t.Error("Run never returned")
		}
		_ = r.listener.Close()
	})
	r.t.Cleanup(r.stop)
	<-r.loops.Started()
}

// noShard is for connections without a hub.
type noShard struct{}

func (noShard) Flush() {}

// connect opens a connection: both ends, as TCP sockets.
func (r *rig) connect() (server, client *net.TCPConn) {
	r.t.Helper()
	client, err := net.DialTCP("tcp", nil, r.listener.Addr().(*net.TCPAddr))
	if err != nil {
		r.t.Fatal(err)
	}
	accepted, err := r.listener.Accept()
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = client.Close() })
	return accepted.(*net.TCPConn), client
}

// webSocket attaches a new connection as a WebSocket.
func (r *rig) webSocket(opts socket.Options) (*owner, *peer) {
	r.t.Helper()
	server, client := r.connect()
	return r.attach(server, opts), r.peer(client)
}

// slowSocket is a webSocket whose kernel takes little at both ends: not much less than a segment of
// loopback, or each would wait for a timer.
func (r *rig) slowSocket(opts socket.Options) (*owner, *peer) {
	r.t.Helper()
	server, client := r.connect()
	if err := errors.Join(server.SetWriteBuffer(16<<10), client.SetReadBuffer(128<<10)); err != nil {
		r.t.Fatal(err)
	}
	return r.attach(server, opts), r.peer(client)
}

func (r *rig) attach(server *net.TCPConn, opts socket.Options) *owner {
	r.t.Helper()
	if opts.MaxPayload == 0 {
		opts.MaxPayload = 1 << 20
	}
	o := newOwner(r.t)
	if err := r.loops.AttachWebSocket(r.over.wrap(server), opts, o.take); err != nil {
		r.t.Fatal(err)
	}
	o.waitTaken()
	return o
}

// owner records what it is told.
type owner struct {
	t        testing.TB
	taken    chan struct{}
	messages chan string
	alarms   chan time.Time
	closed   chan socket.Reason

	// Owned by the loop, once taken is closed.
	conn      *socket.Conn
	onMessage func([]byte) // instead of messages; may be nil
	over      bool
}

func newOwner(t testing.TB) *owner {
	return &owner{
		t:        t,
		taken:    make(chan struct{}),
		messages: make(chan string, 4096),
		alarms:   make(chan time.Time, 16),
		closed:   make(chan socket.Reason, 1),
	}
}

// take is what makes the owner of a connection.
func (o *owner) take(c *socket.Conn) socket.Owner {
	o.conn = c
	close(o.taken)
	return o
}

func (o *owner) waitTaken() {
	o.t.Helper()
	await(o.t, o.taken, "the owner")
}

// Received implements socket.Owner.
func (o *owner) Received(message []byte) {
	o.checkOpen("Received")
	if o.onMessage != nil {
		o.onMessage(message)
		return
	}
	o.messages <- string(message)
}

// Alarm implements socket.Owner.
func (o *owner) Alarm(now time.Time) {
	o.checkOpen("Alarm")
	o.alarms <- now
}

// Closed implements socket.Owner.
func (o *owner) Closed(why socket.Reason) {
	o.checkOpen("Closed")
	o.over = true
	o.closed <- why
}

func (o *owner) checkOpen(call string) {
	if o.over {
		o.t.Errorf("%s was called after Closed", call)
	}
}

// do runs f on the connection's loop and waits for it.
func (o *owner) do(f func(*socket.Conn)) {
	o.t.Helper()
	done := make(chan struct{})
	if !o.conn.Loop().Post(func() { f(o.conn); close(done) }) {
		o.t.Fatal("the loop has ended")
	}
	await(o.t, done, "a task on the loop")
}

func (o *owner) wantMessage(want string) {
	o.t.Helper()
	if got := receive(o.t, o.messages, "a message"); got != want {
		o.t.Fatalf("the owner got the message %.100q, want %.100q", got, want)
	}
}

func (o *owner) wantClosed(want socket.Reason) {
	o.t.Helper()
	if got := receive(o.t, o.closed, "Closed"); got != want {
		o.t.Fatalf("the owner was told %v, want %v", got, want)
	}
}

// receive waits for a value.
func receive[T any](t testing.TB, from <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("%s never came", what)
		panic("unreachable")
	}
}

// await waits for a channel to be closed.
func await(t testing.TB, done <-chan struct{}, what string) {
	t.Helper()
	receive(t, done, what)
}

// eventually waits for what nobody tells.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%s: it never was so", what)
		}
	}
}
