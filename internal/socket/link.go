package socket

// link is how a connection's bytes travel. All of it is called on the connection's loop.
type link interface {
	// send writes, or queues what cannot be written without waiting.
	send(frames []byte) sendResult
	// finish sends the connection's last bytes behind what waits, and ends it when they are out.
	finish(last []byte)
	// drop forgets what waits, but for the rest of a message that the peer has begun to read.
	drop()
	// over says that the owner has had its last call.
	over()
	// resume goes on reading, after a Hold.
	resume()
	// queuedBytes is what waits, with what each message costs.
	queuedBytes() int
	// awaitDrain reports whether something waits; then the connection is told when nothing does any more.
	awaitDrain() bool
	// abort ends the connection without a word. It may come at any time, and more than once.
	abort()
}

type sendResult uint8

const (
	sent     sendResult = iota
	sendFull            // the queue has no room for it
	sendLost            // the peer is gone
)
