package redisbroker

import (
	"context"
	"sync"
)

// maxInbox bounds what has come from Redis and waits for the node, in bytes. Past it the subscription's
// reader waits; if it waits for longer than a ping may, the connection is replaced and the node is told
// that it may have missed something.
const maxInbox = 32 << 20

// message is something that has come; without a channel it stands for [herald.Node.Restored].
type message struct{ channel, payload string }

// inbox is what waits for the node, in the order in which it came.
type inbox struct {
	wake chan struct{} // holds one when there is something

	mu     sync.Mutex // guards the fields below
	queue  []message
	bytes  int
	room   chan struct{} // closed when there is room; nil: nobody waits
	closed bool
}

func newInbox() *inbox { return &inbox{wake: make(chan struct{}, 1)} }

// put waits for room, in order not to hold more than it may.
func (in *inbox) put(m message) {
	for {
		in.mu.Lock()
		if in.closed || in.bytes < maxInbox {
			break
		}
		if in.room == nil {
			in.room = make(chan struct{})
		}
		room := in.room
		in.mu.Unlock()
		<-room
	}
	defer in.mu.Unlock()
	in.addLocked(m)
}

func (in *inbox) addLocked(m message) {
	if in.closed {
		return
	}
	in.queue = append(in.queue, m)
	in.bytes += len(m.payload)
	if len(in.queue) == 1 {
		signal(in.wake)
	}
}

// restored tells the node that its subscriptions stand again, after all that came before. It does not wait
// for room: it may be the node, called from here, that finds out.
func (in *inbox) restored() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.addLocked(message{})
}

func signal(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default: // it is signalled already
	}
}

// run hands over what comes until ctx ends.
func (in *inbox) run(ctx context.Context, deliver func([]message)) {
	var batch []message
	for {
		select {
		case <-in.wake:
			batch = in.take(batch)
			deliver(batch)
		case <-ctx.Done():
			in.close()
			return
		}
	}
}

// take exchanges the queue for an empty one, whose memory is that of the last.
func (in *inbox) take(empty []message) []message {
	clear(empty)
	in.mu.Lock()
	defer in.mu.Unlock()
	taken := in.queue
	in.queue, in.bytes = empty[:0], 0
	in.makeRoomLocked()
	return taken
}

func (in *inbox) makeRoomLocked() {
	if in.room != nil {
		close(in.room)
		in.room = nil
	}
}

func (in *inbox) close() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.closed, in.queue = true, nil
	in.makeRoomLocked()
}
