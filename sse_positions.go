package herald

import (
	"strings"

	"github.com/herald-events/herald/internal/hub"
	"github.com/herald-events/herald/internal/socket"
	"github.com/herald-events/herald/internal/wire"
)

// A channel stream tells its client after every write where it stands in the histories of all its channels, as
// the id that an EventSource comes back with (WHATWG HTML, section 9.2.6).

// maxStrange is how much of an id that is none the client is told again.
const maxStrange = 200

// greet sends the first block, with the position that the client came with: it still stands there.
func (s *streamSession) greet(since string, first []firstJoin) {
	for _, p := range wire.ParsePositions(since) {
		if s.missed == nil {
			s.missed = map[string]Position{}
		}
		s.missed[p.Channel] = Position(p.Position)
	}
	if s.missed == nil { // nothing that this server has ever said
		s.strange, since = strings.ToValidUTF8(since[:min(len(since), maxStrange)], ""), ""
	}
	if !s.server.resumable(first) {
		s.conn.SendBlock(wire.Block("event", "", wire.StreamConnectedForGood(s.id)))
		s.conn.SendBlock(positionBlock{}.Block()) // or the client would come back with what it came with
		return
	}
	s.conn.SendBlock(wire.Block("event", since, wire.StreamConnected(s.id)))
	s.told = since != ""
	if len(s.server.histories) > 0 { // or there is nothing to tell, and an idle stream need not hold how
		s.sub.Positions(s.positionBlock)
	}
}

// resumable tells whether the positions of so many channels fit into an id.
func (s *Server) resumable(first []firstJoin) bool {
	size := 0
	for _, f := range first {
		if f.err == nil && s.histories.of(f.name).keeps() {
			size += len(f.name) + wire.PositionSize
		}
	}
	return size <= wire.MaxStreamPosition
}

// positionBlock tells a client where it stands; of too many channels nothing, but that it stands nowhere any more.
func (s *streamSession) positionBlock(points []hub.Point) *socket.Frame {
	positions := make([]wire.ChannelPosition, len(points))
	for i, p := range points {
		positions[i] = wire.ChannelPosition{Channel: p.Channel, Position: wire.Position{Epoch: p.Epoch, Offset: p.Offset}}
	}
	for channel, at := range s.missed { // which the client may still join
		positions = append(positions, wire.ChannelPosition{Channel: channel, Position: wire.Position(at)})
	}
	id := wire.FormatPositions(positions)
	if id == "" && !s.told {
		return nil
	}
	s.told = id != ""
	return socket.NewFrame(positionBlock{id})
}

// positionBlock is an id without a message.
type positionBlock struct{ id string }

// Text implements socket.Message; no WebSocket is told.
func (positionBlock) Text() []byte { return nil }

// Block is the block: an empty id has the client forget the last.
func (b positionBlock) Block() []byte {
	if b.id == "" {
		return []byte("id\n\n")
	}
	return wire.Block("", b.id, nil)
}

// joinStream joins a channel from where the client was on it, if it was.
func (s *streamSession) joinStream(j joining) error {
	name := j.channel.String()
	if at, ok := s.missed[name]; ok {
		delete(s.missed, name)
		j.since = &at
	} else if s.strange != "" && s.server.histories.of(name).keeps() { // it was somewhere, and nobody knows where
		j.since, j.asked = &Position{}, s.strange
	}
	return s.join(j)
}
