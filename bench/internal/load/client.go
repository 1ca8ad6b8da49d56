//go:build linux

package load

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Task is what a load process is to open. Its connections are numbered from First on; the one with number
// n subscribes to channel n modulo Channels.
type Task struct {
	Protocol    string
	Port        int
	First       int
	Connections int
	Channels    int
	// StopEvery has one in so many connections subscribe and never read again; 0: none.
	StopEvery int
	// Parallel is how many handshakes are under way at once; 0: 64, enough to keep a server busy.
	Parallel int
	// Since is where a protocol that resumes goes on. What comes then has one publisher, so that its stamps
	// tell its order.
	Since Position
	// PerProcess bounds the connections of one process; 0: 15,000.
	PerProcess int
}

func (t Task) resumes() bool { return t.Since.Epoch != "" }

// Position is a place in a channel's history.
type Position struct {
	Epoch  string `json:"epoch"`
	Offset int    `json:"offset"`
}

// connection is a subscriber.
type connection struct {
	fd      int
	channel int
	shake   *handshake // until it has subscribed
	stream  stream
	stopped bool
	asked   int64 // when it asked for what it has missed, in Unix nanoseconds
	missed  int   // messages that it has to get back; 0: it has them
	closed  bool  // by the server
}

// client is the load process. All of it belongs to the goroutine of run.
type client struct {
	epoll    int
	wake     int // an event descriptor, for commands
	commands <-chan command
	answer   func(Answer) error

	task        Task
	protocol    Protocol
	connections []connection
	buf         []byte
	out         []byte
	meter       meter

	begun     time.Time // the opening, while it is not over
	waiting   int       // handshakes under way
	opened    int
	closed    int
	total     int
	resumed   Histogram // from asking to having all that was missed
	lastBytes int64     // when a message came last, in Unix nanoseconds
}

// usualParallel is how many handshakes are under way at once.
const usualParallel = 64

// perSource is how many connections come from one address; an address has 28,000 ports.
const perSource = 10_000

// stoppedSegment and stoppedBuffer keep small what the kernel holds for a connection that nobody reads:
// loopback would hold megabytes, and no server would notice.
const (
	stoppedSegment = 536
	stoppedBuffer  = 4096
)

func (c *client) run() error {
	events := make([]unix.EpollEvent, 1024)
	for {
		n, err := unix.EpollWait(c.epoll, events, c.patience())
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait: %w", err)
		}
		if n == 0 && c.waiting > 0 {
			return fmt.Errorf("%d connections are open, and %d wait for the server's answer in vain", c.opened, c.waiting)
		}
		for _, e := range events[:max(n, 0)] {
			if e.Pad < 0 {
				if quit, err := c.obey(); quit || err != nil {
					return err
				}
				continue
			}
			if err := c.ready(int(e.Pad)); err != nil {
				return err
			}
		}
	}
}

// answerTime is how long a handshake may be without a word from the server; on any connection, since one
// that is silent alone will soon be waited for alone.
const answerTime = 20 * time.Second

// patience is how long to wait for anything, in milliseconds; -1 is for ever.
func (c *client) patience() int {
	if c.waiting == 0 {
		return -1
	}
	return int(answerTime / time.Millisecond)
}

// open begins to open connections; the answer follows when the last has subscribed.
func (c *client) open(task Task) error {
	protocol, ok := Protocols[task.Protocol]
	if !ok {
		return fmt.Errorf("no protocol is called %q", task.Protocol)
	}
	c.task, c.protocol, c.begun = task, protocol, time.Now()
	c.connections = make([]connection, 0, task.Connections)
	c.closed, c.opened, c.waiting = 0, 0, 0
	c.meter = meter{everyStamp: task.resumes(), isOrdered: task.resumes()}
	return c.dialMore()
}

func (c *client) dialMore() error {
	for c.waiting < cmp.Or(c.task.Parallel, usualParallel) && len(c.connections) < c.task.Connections {
		if err := c.dial(); err != nil {
			return err
		}
	}
	if c.waiting > 0 || c.begun.IsZero() {
		return nil
	}
	took := time.Since(c.begun)
	c.begun = time.Time{}
	return c.answer(Answer{Open: c.opened, Closed: c.closed, Took: took})
}

func (c *client) dial() error {
	index := len(c.connections)
	number := c.task.First + index
	stopped := c.task.StopEvery > 0 && number%c.task.StopEvery == 0
	fd, err := connect(c.task.Port, byte(1+number/perSource), stopped)
	if err != nil {
		return fmt.Errorf("connection %d: %w", number, err)
	}
	channel := number % max(c.task.Channels, 1)
	shake := &handshake{protocol: c.protocol, channel: Channel(channel), member: number, since: c.task.Since}
	c.connections = append(c.connections, connection{fd: fd, channel: channel, shake: shake, stopped: stopped})
	c.waiting++
	if err := writeAll(fd, c.protocol.request(shake.channel)); err != nil {
		return fmt.Errorf("connection %d: send the request: %w", number, err)
	}
	return c.watch(fd, index)
}

// watch has the descriptor's readiness reported, with the connection in what the kernel calls padding.
func (c *client) watch(fd, index int) error {
	e := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd), Pad: int32(index)}
	return unix.EpollCtl(c.epoll, unix.EPOLL_CTL_ADD, fd, &e)
}

// connect connects to the port from 127.0.0.host; from then on the socket does not block.
func connect(port int, host byte, stopped bool) (fd int, err error) {
	if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			_ = unix.Close(fd)
		}
	}()
	if stopped {
		err = errors.Join(
			unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_MAXSEG, stoppedSegment),
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, stoppedBuffer),
		)
	}
	err = errors.Join(
		err,
		// A reset at the end leaves no port behind in TIME_WAIT: there are fewer than a run needs.
		unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}),
		unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1),
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
	)
	if err != nil {
		return 0, fmt.Errorf("set up: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, host}}); err != nil {
		return 0, fmt.Errorf("bind: %w", err)
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, fmt.Errorf("connect: %w", err)
	}
	return fd, unix.SetNonblock(fd, true)
}

func writeAll(fd int, b []byte) error {
	for len(b) > 0 {
		n, err := unix.Write(fd, b)
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// ready reads what has come for a connection.
func (c *client) ready(index int) error {
	conn := &c.connections[index]
	if conn.closed {
		return nil
	}
	n, err := unix.Read(conn.fd, c.buf)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return nil
	}
	if err != nil || n == 0 {
		return c.lose(conn)
	}
	if conn.shake != nil {
		return c.shake(conn, c.buf[:n])
	}
	c.read(conn, c.buf[:n])
	return nil
}

// lose notes that the server has closed the connection.
func (c *client) lose(conn *connection) error {
	conn.closed = true
	c.closed++
	_ = unix.Close(conn.fd) // which also ends the watch
	if conn.shake == nil {
		return nil
	}
	conn.shake = nil
	c.waiting--
	return c.dialMore()
}

func (c *client) shake(conn *connection, b []byte) error {
	say, done, err := conn.shake.feed(b)
	if err != nil {
		return err
	}
	if len(say) > 0 && c.meter.isOrdered {
		conn.asked = time.Now().UnixNano() // the last time counts
	}
	if err := writeAll(conn.fd, say); err != nil {
		return c.lose(conn)
	}
	if !done {
		return nil
	}
	left := conn.shake.got
	if c.task.resumes() {
		if conn.missed = conn.shake.newest - c.task.Since.Offset; !conn.shake.recovered {
			return fmt.Errorf("after %+v the history is not whole any more", c.task.Since)
		}
	}
	conn.shake = nil
	c.waiting--
	c.opened++
	c.read(conn, left)
	if conn.stopped {
		if err := unix.EpollCtl(c.epoll, unix.EPOLL_CTL_DEL, conn.fd, nil); err != nil {
			return fmt.Errorf("stop reading: %w", err)
		}
	}
	return c.dialMore()
}

func (c *client) read(conn *connection, b []byte) {
	before := conn.stream.count
	c.meter.now, c.meter.sampled = time.Now().UnixNano(), false
	if c.protocol.Stream {
		conn.stream.body(b, &c.meter)
	} else {
		conn.stream.read(b, &c.meter, func(op byte, payload []byte) { c.heard(conn, op, payload) })
	}
	if got := conn.stream.count - before; got > 0 {
		c.total += got
		c.lastBytes = c.meter.now
	}
	if conn.missed > 0 && conn.stream.count >= conn.missed {
		c.resumed.Add(time.Duration(c.meter.now - conn.asked))
		conn.missed = 0
	}
}

// heard answers pings. An answer that finds no room is left out, as if it were late.
func (c *client) heard(conn *connection, op byte, payload []byte) {
	switch {
	case op == opPing:
		c.out = appendFrame(c.out[:0], opPong, string(payload))
	case op == opText && c.protocol.Ping != "" && string(payload) == c.protocol.Ping:
		c.out = appendFrame(c.out[:0], opText, c.protocol.Pong)
	default:
		return
	}
	_ = writeAll(conn.fd, c.out)
}

// drainWake takes the wake-up back.
func (c *client) drainWake() {
	var n [8]byte
	_, _ = unix.Read(c.wake, n[:]) // it is there to be read, or it has been read
}

// poke has run look at the commands.
func poke(wake int) error {
	_, err := unix.Write(wake, binary.NativeEndian.AppendUint64(nil, 1))
	return err
}
