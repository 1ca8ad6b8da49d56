package socket

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// descriptor is a connection whose descriptor its loop owns, reads and writes. All of it is owned by
// the loop.
type descriptor struct {
	Conn
	fd         int32  // -1: closed
	generation uint32 // tells this connection from who had the descriptor before
	interest   uint32 // what epoll reports
	ending     bool   // what waits ends with the connection's last bytes
	lingering  bool   // those are out; the peer is to close its side too
	deaf       bool   // the peer has closed its side already
	waiting    *outgoing
}

// outgoing is what the kernel did not take.
type outgoing struct {
	messages [][]byte
	size     int  // their bytes, with what each costs
	partial  bool // the first is the rest of what the peer has begun to read
}

// takeDescriptor makes the connection's descriptor the loops' own, where it has one that they can
// read and write; nil where it has not, or where there are no more descriptors.
func (ls *Loops) takeDescriptor(conn net.Conn, c Conn) *descriptor {
	tcp, ok := conn.(*net.TCPConn)
	if !ok || !c.loop.poller.isOpen() {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	var fd int
	var failed error
	err = raw.Control(func(theirs uintptr) { fd, failed = unix.FcntlInt(theirs, unix.F_DUPFD_CLOEXEC, 0) })
	if err != nil || failed != nil {
		return nil
	}
	_ = conn.Close() // the runtime's poller forgets it, and the duplicate lives on
	d := &descriptor{Conn: c, fd: int32(fd)}
	d.link = d
	return d
}

// attach gives the connection to its loop.
func (d *descriptor) attach(opts Options, own func(*Conn) Owner) {
	l := d.loop
	l.set.count(1)
	posted := l.Post(func() {
		if err := l.poller.add(d); err != nil {
			defer d.lost() // the kernel has no room to watch it
		}
		d.begin(opts, own)
	})
	if !posted {
		d.closeFD() // the loop has ended and cuts nobody any more
	}
}

// happened does what epoll reports.
func (d *descriptor) happened(events uint32) {
	if events&^uint32(unix.EPOLLOUT) != 0 {
		d.read(events)
	}
	if events&unix.EPOLLOUT != 0 && d.fd >= 0 {
		d.drain()
	}
}

func (d *descriptor) read(events uint32) {
	const broken = unix.EPOLLHUP | unix.EPOLLERR
	if d.held && !d.closed && events&broken == 0 {
		d.watch(d.interest &^ unix.EPOLLIN) // until resume
		return
	}
	buf := d.loop.poller.in[:]
	n, err := unix.Read(int(d.fd), buf)
	switch {
	case n > 0:
		d.loop.runInbox() // what was posted before the peer spoke comes before the answer
		d.feed(buf[:n])
	case err == unix.EAGAIN || err == unix.EINTR: // it is reported again
	case err == nil && d.ending && !d.lingering:
		d.deaf = true // it may still read our last bytes
		d.watch(d.interest &^ unix.EPOLLIN)
	default:
		d.lost()
		d.abort() // also what was closed before, and has now got its answer
	}
}

// watch has epoll report other events.
func (d *descriptor) watch(interest uint32) {
	if d.interest == interest {
		return
	}
	d.interest = interest
	if err := d.loop.poller.control(unix.EPOLL_CTL_MOD, d); err != nil {
		d.lost() // it would never be heard of again
	}
}

// resume implements link.
func (d *descriptor) resume() {
	d.feedRest()
	if !d.held && !d.closed {
		d.watch(d.interest | unix.EPOLLIN)
	}
}

// over implements link: nobody waits for it.
func (d *descriptor) over() {}

// send implements link: the kernel gets it first.
func (d *descriptor) send(b []byte) sendResult {
	if d.waiting != nil {
		if d.waiting.size+len(b)+queueEntry > d.loop.set.config.MaxQueue {
			return sendFull
		}
		d.push(b)
		return sent
	}
	n, err := write(d.fd, b)
	switch {
	case err != nil:
		return sendLost
	case n < len(b): // into an empty queue goes whatever comes: a peer that has read everything is not slow
		d.waiting = &outgoing{partial: n > 0}
		d.push(b[n:])
		d.watch(d.interest | unix.EPOLLOUT)
		d.limitStall()
	}
	return sent
}

func (d *descriptor) push(b []byte) {
	d.waiting.messages = append(d.waiting.messages, b)
	d.account(len(b) + queueEntry)
}

func (d *descriptor) account(change int) {
	d.waiting.size += change
	d.loop.set.account(change)
}

// limitStall bounds how long the peer of an event stream may take nothing: it never answers, so only
// the kernel's refusal tells that nobody reads. A WebSocket's pings do that better.
func (d *descriptor) limitStall() {
	if !d.dialect.IsWebSocket() && !d.ending {
		d.cutIn(d.loop.set.config.Stall)
	}
}

// cutIn has the link cut when so much time has passed; 0 takes it back.
func (d *descriptor) cutIn(wait time.Duration) {
	d.cutAt = 0
	if wait > 0 {
		d.cutAt = d.loop.life(d.loop.Now()) + int64(wait)
	}
	d.reschedule()
}

// drain writes what waits, as far as the kernel takes it.
func (d *descriptor) drain() {
	for d.waiting != nil {
		b := d.front()
		n, err := write(d.fd, b)
		if err != nil {
			d.lost()
			d.abort()
			return
		}
		d.written(n)
		if n < len(b) {
			if n > 0 {
				d.limitStall()
			}
			return
		}
	}
	d.watch(d.interest &^ unix.EPOLLOUT)
	switch {
	case d.ending:
		d.shutDown()
	case !d.closed:
		d.cutIn(0)
		d.tellDrained()
	}
}

// front is what is to be written next: the first message, or as many small ones as fit together.
func (d *descriptor) front() []byte {
	messages, joined := d.waiting.messages, d.loop.poller.out[:0]
	if len(messages) == 1 || len(messages[0]) > cap(joined)/2 {
		return messages[0]
	}
	for _, m := range messages {
		if len(joined)+len(m) > cap(joined) {
			break
		}
		joined = append(joined, m...)
	}
	return joined
}

// written takes n bytes off what waits.
func (d *descriptor) written(n int) {
	w := d.waiting
	for n > 0 && n >= len(w.messages[0]) {
		n -= len(w.messages[0])
		d.account(-len(w.messages[0]) - queueEntry)
		w.messages[0] = nil
		w.messages = w.messages[1:]
		w.partial = false
	}
	if n > 0 {
		w.messages[0] = w.messages[0][n:]
		d.account(-n)
		w.partial = true
	}
	if len(w.messages) == 0 {
		d.waiting = nil
	}
}

// drop implements link.
func (d *descriptor) drop() {
	w := d.waiting
	if w == nil {
		return
	}
	keep := 0
	if w.partial {
		keep = 1
	}
	for _, m := range w.messages[keep:] {
		d.account(-len(m) - queueEntry)
	}
	clear(w.messages[keep:])
	w.messages = w.messages[:keep]
	if keep == 0 {
		d.waiting = nil
	}
}

// queuedBytes implements link.
func (d *descriptor) queuedBytes() int {
	if d.waiting == nil {
		return 0
	}
	return d.waiting.size
}

// awaitDrain implements link: every connection is told.
func (d *descriptor) awaitDrain() bool { return d.waiting != nil }

// finish implements link.
func (d *descriptor) finish(last []byte) {
	if d.fd < 0 {
		return
	}
	d.ending = true
	switch {
	case len(last) == 0:
	case d.waiting != nil:
		d.push(last)
	case d.send(last) == sendLost:
		d.abort()
		return
	}
	d.watch(d.interest | unix.EPOLLIN) // what it says is read and forgotten, or the close would be a reset
	if d.waiting == nil {
		d.shutDown()
	} else {
		d.cutIn(d.loop.set.config.Linger)
	}
}

// shutDown says that no more will come, and waits for the peer to say so too: closing while its
// bytes are unread would reset the connection, and the close frame with it.
func (d *descriptor) shutDown() {
	d.lingering = true
	if err := unix.Shutdown(int(d.fd), unix.SHUT_WR); err != nil || d.deaf {
		d.abort()
		return
	}
	d.cutIn(lingerRead)
}

// abort implements link.
func (d *descriptor) abort() {
	if d.fd < 0 {
		return
	}
	d.loop.poller.remove(d)
	if d.waiting != nil {
		d.loop.set.account(-d.waiting.size)
		d.waiting = nil
	}
	d.cutIn(0)
	d.closeFD()
}

func (d *descriptor) closeFD() {
	_ = unix.Close(int(d.fd)) // nobody is left to hear of it
	d.fd = -1
	d.loop.set.count(-1)
}

// write writes what the kernel takes without waiting, which may be nothing. The runtime's scheduler is told
// of the call, unlike of a raw one: it lets publishers in between, so that more messages share the next write.
func write(fd int32, b []byte) (int, error) {
	for {
		n, err := unix.Write(int(fd), b)
		switch err {
		case nil:
			return int(n), nil
		case unix.EAGAIN:
			return 0, nil
		case unix.EINTR:
		default:
			return 0, err
		}
	}
}
