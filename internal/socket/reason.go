package socket

import "github.com/gobwas/ws"

// Reason says why a connection was closed. Its Code is a WebSocket close code (RFC 6455 section
// 7.4), also for event streams, which have none on the wire.
type Reason struct {
	Code uint16
	Text string
}

// The reasons that this package has of its own.
var (
	Gone         = Reason{uint16(ws.StatusAbnormalClosure), "gone"} // the peer went without a word
	GoingAway    = Reason{uint16(ws.StatusGoingAway), "server is draining"}
	NoSignOfLife = Reason{4409, "no sign of life"}

	// The three ways of reading too slowly: the connection's own queue was full, it had one of the longest
	// when all of them together were, or its peer took nothing for too long.
	SlowConsumer = Reason{slowCode, "slow consumer"}
	Overloaded   = Reason{slowCode, "slow consumer: the server's queues are full"}
	Stalled      = Reason{slowCode, "slow consumer: nothing was read"}

	protocolError = Reason{uint16(ws.StatusProtocolError), "protocol error"}
	binaryFrame   = Reason{uint16(ws.StatusUnsupportedData), "only text frames are spoken here"}
	invalidUTF8   = Reason{uint16(ws.StatusInvalidFramePayloadData), "invalid UTF-8"}
	notDeflated   = Reason{uint16(ws.StatusInvalidFramePayloadData), "the compressed data is broken"}
	tooBig        = Reason{uint16(ws.StatusMessageTooBig), "message too big"}
)

const slowCode = 4408

// slow tells whether the peer is given up for what it does not read.
func (r Reason) slow() bool { return r == SlowConsumer || r == Overloaded || r == Stalled }

func (r Reason) frame() []byte {
	if r == Gone {
		return nil
	}
	if r.Code == uint16(ws.StatusNoStatusRcvd) { // the peer closed without a code and gets none back
		return frame(ws.OpClose, nil)
	}
	return frame(ws.OpClose, ws.NewCloseFrameBody(ws.StatusCode(r.Code), r.Text))
}
