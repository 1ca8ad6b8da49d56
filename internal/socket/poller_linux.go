package socket

import (
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// poller is a loop's epoll instance with the connections whose descriptors are the loop's. One that could
// not be opened has none, and goroutines carry them all.
//
// The loop never waits in epoll_wait: while it is idle, a goroutine has the runtime's own poller wait
// for the instance, so that the loop can wait for its inbox, its timer and its descriptors in one
// select, and holds no thread.
type poller struct {
	// Immutable after open.
	epoll int
	file  *os.File // owns epoll, and has the runtime wait for it
	raw   syscall.RawConn
	ready chan struct{} // holds a token when something happened since watch
	asked chan struct{} // holds a token while the watcher is to wait

	// Owned by the loop.
	watching   bool // between watch and watched
	generation uint32
	byFD       []*descriptor
	events     [256]unix.EpollEvent
	writable   [256]unix.EpollEvent
	in         [64 << 10]byte // what was read last
	out        [64 << 10]byte // small messages of a queue, joined to be written
}

// open makes the instance, unless the system has no descriptor left for it.
func (p *poller) open() {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return
	}
	// Or the runtime would not wait for it; it fails on what is no descriptor.
	_ = unix.SetNonblock(epoll, true)
	file := os.NewFile(uintptr(epoll), "epoll")
	raw, err := file.SyscallConn()
	if err != nil {
		_ = file.Close()
		return
	}
	p.epoll, p.file, p.raw = epoll, file, raw
	p.ready, p.asked = make(chan struct{}, 1), make(chan struct{}, 1)
}

// isOpen tells whether the loop can own descriptors.
func (p *poller) isOpen() bool { return p.file != nil }

// start starts the watcher, which ends with close.
func (p *poller) start() *sync.WaitGroup {
	var wg sync.WaitGroup
	if !p.isOpen() {
		return &wg
	}
	wg.Go(func() {
		for range p.asked {
			if err := p.raw.Read(readable); err != nil {
				return // closed
			}
			p.ready <- struct{}{}
		}
	})
	return &wg
}

// readable tells whether an epoll instance has something to report.
func readable(epoll uintptr) bool {
	fds := [1]unix.PollFd{{Fd: int32(epoll), Events: unix.POLLIN}}
	n, err := unix.Poll(fds[:], 0)
	return n > 0 || err != nil
}

// watch has ready tell when something happens.
func (p *poller) watch() {
	if !p.watching && p.isOpen() {
		p.watching = true
		p.asked <- struct{}{}
	}
}

// watched is called for each token of ready.
func (p *poller) watched() { p.watching = false }

func (p *poller) close() {
	if !p.isOpen() {
		return
	}
	close(p.asked)
	_ = p.file.Close()
}

// poll does what can be done now, and returns how much that was.
func (p *poller) poll() int {
	events := p.wait(p.events[:])
	for _, e := range events {
		if d := p.find(e); d != nil {
			d.happened(e.Events)
		}
	}
	return len(events)
}

// pollWritable writes to whom it can be written again. It is for the middle of a turn: what peers say
// is answered after everything that was posted before.
func (p *poller) pollWritable() {
	for _, e := range p.wait(p.writable[:]) {
		if d := p.find(e); d != nil && e.Events&unix.EPOLLOUT != 0 {
			d.drain()
		}
	}
}

func (p *poller) wait(events []unix.EpollEvent) []unix.EpollEvent {
	if !p.isOpen() {
		return nil
	}
	n, err := unix.EpollWait(p.epoll, events, 0)
	if err != nil {
		return nil // interrupted: it is asked again before the loop sleeps
	}
	return events[:n]
}

// find returns the connection that an event is of; nil where it has gone, and another one may have its
// descriptor.
func (p *poller) find(e unix.EpollEvent) *descriptor {
	if d := p.byFD[e.Fd]; d != nil && d.generation == uint32(e.Pad) {
		return d
	}
	return nil
}

// add begins to report what happens to d.
func (p *poller) add(d *descriptor) error {
	p.generation++
	d.generation, d.interest = p.generation, unix.EPOLLIN
	for int(d.fd) >= len(p.byFD) {
		p.byFD = append(p.byFD, nil)
	}
	p.byFD[d.fd] = d
	return p.control(unix.EPOLL_CTL_ADD, d)
}

func (p *poller) control(op int, d *descriptor) error {
	e := unix.EpollEvent{Events: d.interest, Fd: d.fd, Pad: int32(d.generation)}
	return unix.EpollCtl(p.epoll, op, int(d.fd), &e)
}

// remove forgets d, whose descriptor is about to be closed, which tells the kernel.
func (p *poller) remove(d *descriptor) {
	if int(d.fd) < len(p.byFD) && p.byFD[d.fd] == d {
		p.byFD[d.fd] = nil
	}
}

func (p *poller) each(f func(*Conn)) {
	for _, d := range p.byFD {
		if d != nil {
			f(&d.Conn)
		}
	}
}
