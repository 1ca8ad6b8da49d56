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
	SlowConsumer = Reason{4408, "slow consumer"}
	NoSignOfLife = Reason{4409, "no sign of life"}

	protocolError = Reason{uint16(ws.StatusProtocolError), "protocol error"}
	binaryFrame   = Reason{uint16(ws.StatusUnsupportedData), "only text frames are spoken here"}
	invalidUTF8   = Reason{uint16(ws.StatusInvalidFramePayloadData), "invalid UTF-8"}
	tooBig        = Reason{uint16(ws.StatusMessageTooBig), "message too big"}
)

func (r Reason) frame() []byte {
	if r == Gone {
		return nil
	}
	if r.Code == uint16(ws.StatusNoStatusRcvd) { // the peer closed without a code and gets none back
		return frame(ws.OpClose, nil)
	}
	return frame(ws.OpClose, ws.NewCloseFrameBody(ws.StatusCode(r.Code), r.Text))
}
