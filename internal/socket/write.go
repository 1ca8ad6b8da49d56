package socket

import (
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// writeBytes is how much a writer takes out of the queue at once: what is out cannot be replaced by
// a close frame any more.
const writeBytes = 64 << 10

// flush is a connection's writer for as long as something waits.
func (c *Conn) flush() {
	for {
		bufs, cost := c.takeQueued()
		if len(bufs) == 0 {
			break
		}
		if err := c.out.write(&bufs); err != nil {
			c.out.abort()
			c.loop.Post(c.lost)
			return
		}
		c.mu.Lock()
		c.queued -= cost
		c.mu.Unlock()
	}
	c.mu.Lock()
	over := c.ending && !c.flushing
	c.mu.Unlock()
	if over {
		c.out.finish()
	}
}

// takeQueued takes the next buffers to write; with nothing left the writer's work is over.
func (c *Conn) takeQueued() (net.Buffers, int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) == 0 {
		c.queue, c.queued, c.flushing = nil, 0, false
		return nil, 0
	}
	n, cost, size := 0, 0, 0
	for n < len(c.queue) && (n == 0 || size+len(c.queue[n]) <= writeBytes) {
		size += len(c.queue[n])
		cost += len(c.queue[n]) + queueEntry
		n++
	}
	bufs := append(net.Buffers(nil), c.queue[:n]...)
	clear(c.queue[:n])
	c.queue = c.queue[n:]
	c.partial = false
	return bufs, cost
}

// writeStall is how long one write to an event stream may take. A stream's peer never answers, so
// only the kernel's refusal tells that nobody reads; a WebSocket's pings do that better.
const writeStall = 30 * time.Second

// netSink writes to a connection that is ours alone.
type netSink struct {
	// Immutable.
	conn   net.Conn
	raw    syscall.RawConn // nil where the descriptor is not ours to write to (TLS)
	stalls bool            // a write may take writeStall at most

	mu       sync.Mutex // guards the write deadline and the field below
	hurrying bool       // the last deadline is set
}

func newNetSink(conn net.Conn, d Dialect) *netSink {
	s := &netSink{conn: conn, stalls: d != WebSocket}
	if tcp, ok := conn.(*net.TCPConn); ok && canTry {
		s.raw, _ = tcp.SyscallConn() // it fails on a closed connection only, as every write will
	}
	return s
}

func (s *netSink) try(w *tryWriter, b []byte) (int, error) {
	if s.raw == nil {
		return 0, nil
	}
	return w.write(s.raw, b)
}

func (s *netSink) write(bufs *net.Buffers) error {
	if s.stalls {
		s.setDeadline(time.Now().Add(writeStall))
		defer s.setDeadline(time.Time{}) // or the next try would find that it has passed
	}
	_, err := bufs.WriteTo(s.conn)
	return err
}

// setDeadline bounds what is written from now on, unless it is the last, which is bounded already.
func (s *netSink) setDeadline(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.hurrying {
		_ = s.conn.SetWriteDeadline(at) // fails with the write
	}
}

// The errors of these are those of a connection that is already gone.

func (s *netSink) hurry(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hurrying = true
	_ = s.conn.SetWriteDeadline(time.Now().Add(d))
}

// finish says that no more will come, and leaves the end to the reader: closing while the peer's
// bytes are unread would reset the connection, and the close frame with it.
func (s *netSink) finish() {
	_ = s.conn.SetReadDeadline(time.Now().Add(lingerRead))
	if half, ok := s.conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		return
	}
	s.abort()
}

func (s *netSink) abort() { _ = s.conn.Close() }

// responseSink writes to a response whose handler waits until the connection is over (HTTP/2,
// HTTP/1.0, writers that cannot be hijacked).
type responseSink struct {
	// Immutable.
	rc   *http.ResponseController
	over chan struct{} // closed by once, for the handler to return
	once func()

	finished atomic.Bool // everything is written
	cut      atomic.Bool // what is not written will not be

	mu sync.Mutex          // held while writing
	w  http.ResponseWriter // nil once the handler is about to return: w is not ours any more
}

func newResponseSink(w http.ResponseWriter) *responseSink {
	over := make(chan struct{})
	return &responseSink{
		rc:   http.NewResponseController(w),
		over: over,
		once: sync.OnceFunc(func() { close(over) }),
		w:    w,
	}
}

func (s *responseSink) try(*tryWriter, []byte) (int, error) { return 0, nil }

func (s *responseSink) write(bufs *net.Buffers) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.w == nil {
		return net.ErrClosed
	}
	// On a writer without deadlines the server's own limits hold.
	_ = s.rc.SetWriteDeadline(time.Now().Add(writeStall))
	if s.cut.Load() { // release may have set its deadline before this one
		return net.ErrClosed
	}
	for _, b := range *bufs {
		if _, err := s.w.Write(b); err != nil {
			return err
		}
	}
	return s.rc.Flush()
}

// release waits for the write under way, which fails now unless it was the last; later ones fail.
func (s *responseSink) release() {
	if !s.finished.Load() {
		s.cut.Store(true)
		_ = s.rc.SetWriteDeadline(time.Now())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.w = nil
}

func (s *responseSink) hurry(time.Duration) {}

func (s *responseSink) finish() {
	s.finished.Store(true)
	s.once()
}

func (s *responseSink) abort() { s.once() }
