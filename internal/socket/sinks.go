package socket

import (
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// netSink writes to a connection that is ours alone.
type netSink struct {
	// Immutable.
	conn  net.Conn
	stall time.Duration // how long one write may take; 0: as long as it likes
	lasts time.Duration // how long the last bytes may take

	blind atomic.Bool // our side has ended, and the peer cannot be told so but by closing

	mu       sync.Mutex // guards the write deadline and the field below
	hurrying bool       // the last deadline is set
}

// newNetSink bounds writes to event streams: their peer never answers, so only the kernel's refusal
// tells that nobody reads. A WebSocket's pings do that better.
func newNetSink(conn net.Conn, d Dialect, config Config) *netSink {
	s := &netSink{conn: conn, lasts: config.Linger}
	if !d.IsWebSocket() {
		s.stall = config.Stall
	}
	return s
}

func (s *netSink) write(bufs *net.Buffers) error {
	if s.stall == 0 {
		_, err := bufs.WriteTo(s.conn)
		return err
	}
	s.setDeadline(time.Now().Add(s.stall))
	defer s.setDeadline(time.Time{}) // the next write has its own
	for _, b := range *bufs {
		for len(b) > 0 {
			n, err := s.conn.Write(b[:min(len(b), pieceBytes)])
			if err != nil {
				return err
			}
			b = b[n:]
			s.setDeadline(time.Now().Add(s.stall))
		}
	}
	return nil
}

// pieceBytes is how much must be taken within the stall time: who reads slowly is not one who reads nothing.
const pieceBytes = 16 << 10

// setDeadline bounds what is written from now on, unless it is the last, which is bounded already.
func (s *netSink) setDeadline(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.hurrying {
		_ = s.conn.SetWriteDeadline(at) // fails with the write
	}
}

// The errors of these are those of a connection that is already gone.

func (s *netSink) hurry() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hurrying = true
	_ = s.conn.SetWriteDeadline(time.Now().Add(s.lasts))
}

// finish says that no more will come, and leaves the end to the reader: closing while the peer's
// bytes are unread would reset the connection, and the close frame with it.
func (s *netSink) finish() {
	wait := lingerRead
	if half, ok := s.conn.(interface{ CloseWrite() error }); !ok || half.CloseWrite() != nil {
		s.blind.Store(true)
		wait = lingerBlind
	}
	_ = s.conn.SetReadDeadline(time.Now().Add(wait))
}

// lingerBlind is how long the peer may be silent where our side cannot be closed alone: it may wait for the
// end, and what it has sent before it knew is here or on its way.
const lingerBlind = 10 * time.Millisecond

// linger reads what the peer still sends until it closes its side too, but not for ever: closing while
// something is unread would reset the connection before the peer has read the close frame.
func (s *netSink) linger() {
	end := time.Now().Add(s.lasts + lingerRead)
	nothing := largeBuffers.Get().(*[32 << 10]byte)
	defer largeBuffers.Put(nothing)
	for time.Now().Before(end) {
		if _, err := s.conn.Read(nothing[:]); err != nil {
			return // finish has set a deadline
		}
		if s.blind.Load() {
			_ = s.conn.SetReadDeadline(time.Now().Add(lingerBlind))
		}
	}
}

// abort closes what is below TLS, which would wait for the peer to take its goodbye: a loop must not.
func (s *netSink) abort() {
	below := s.conn
	if secure, ok := below.(interface{ NetConn() net.Conn }); ok {
		below = secure.NetConn()
	}
	_ = below.Close()
}

// responseSink writes to a response whose handler waits until the connection is over (HTTP/2,
// HTTP/1.0, writers that cannot be hijacked).
type responseSink struct {
	// Immutable.
	rc    *http.ResponseController
	stall time.Duration // how long one write may take
	over  chan struct{} // closed by once, for the handler to return
	once  func()

	finished atomic.Bool // everything is written
	cut      atomic.Bool // what is not written will not be

	mu sync.Mutex          // held while writing
	w  http.ResponseWriter // nil once the handler is about to return: w is not ours any more
}

func newResponseSink(w http.ResponseWriter, config Config) *responseSink {
	over := make(chan struct{})
	return &responseSink{
		rc:    http.NewResponseController(w),
		stall: config.Stall,
		over:  over,
		once:  sync.OnceFunc(func() { close(over) }),
		w:     w,
	}
}

func (s *responseSink) write(bufs *net.Buffers) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.w == nil {
		return net.ErrClosed
	}
	// On a writer without deadlines the server's own limits hold.
	_ = s.rc.SetWriteDeadline(time.Now().Add(s.stall))
	if s.cut.Load() { // release may have set its deadline before this one
		return net.ErrClosed
	}
	for _, b := range *bufs {
		if _, err := s.w.Write(b); err != nil {
			return err
		}
	}
	if err := s.rc.Flush(); err != nil {
		return err
	}
	// On HTTP/2 a deadline that passes resets the stream, also while nothing is written.
	_ = s.rc.SetWriteDeadline(time.Time{})
	if s.cut.Load() { // release may have set its own before this one
		_ = s.rc.SetWriteDeadline(time.Now())
	}
	return nil
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

func (s *responseSink) hurry() {}

func (s *responseSink) finish() {
	s.finished.Store(true)
	s.once()
}

func (s *responseSink) abort() { s.once() }
