package herald

import (
	"github.com/gobwas/ws"

	"github.com/herald-events/herald/internal/socket"
	"github.com/herald-events/herald/internal/wire"
)

// beats say how silence is broken, once for all connections of a kind.
type beats struct{ webSocket, stream, eventStream *socket.KeepAlive }

func newBeats(k KeepAlive) beats {
	return beats{
		webSocket:   &socket.KeepAlive{Interval: k.PingInterval, Beat: ws.CompiledPing, Answered: true},
		stream:      &socket.KeepAlive{Interval: k.HeartbeatInterval, Beat: []byte(wire.StreamHeartbeat)},
		eventStream: &socket.KeepAlive{Interval: k.EventHeartbeatInterval, Beat: []byte(wire.EventStreamHeartbeat)},
	}
}
