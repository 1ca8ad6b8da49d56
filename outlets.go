package herald

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/herald-events/herald/internal/bus"
	"github.com/herald-events/herald/internal/hub"
	"github.com/herald-events/herald/internal/socket"
	"github.com/herald-events/herald/internal/wire"
)

// channelOutlet delivers what is said on one channel.
type channelOutlet struct {
	server  *Server
	channel string
}

// body is a message as brokers carry it: the lengths of its event's name and of the id that is excepted,
// those, and the data.
func (m message) body() []byte {
	b := make([]byte, 0, 2*binary.MaxVarintLen16+len(m.event)+len(m.except)+len(m.data))
	b = append(binary.AppendUvarint(b, uint64(len(m.event))), m.event...)
	b = append(binary.AppendUvarint(b, uint64(len(m.except))), m.except...)
	return append(b, m.data...)
}

// messageOf reads what [message.body] writes; what is none is an empty message.
func messageOf(channel string, body []byte) message {
	event, rest := cutText(body)
	except, data := cutText(rest)
	return message{channel: Channel{channel}, event: event, except: except, data: data}
}

// cutText takes a text with its length off a body.
func cutText(b []byte) (text string, rest []byte) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)-size) {
		return "", nil
	}
	end := size + int(n)
	return string(b[size:end]), b[end:]
}

func (o channelOutlet) decode(epoch string, e Entry) hub.Kept {
	m := messageOf(o.channel, e.Body)
	m.at = wire.Position{Epoch: epoch, Offset: e.Offset}
	return hub.Kept{Offset: e.Offset, Frame: socket.NewFrame(m), Except: m.except}
}

func (o channelOutlet) deliver(room hub.Room, life *hub.Life, entries []hub.Kept) {
	messages := make([]hub.Message, len(entries))
	for i, k := range entries {
		messages[i] = hub.Message{Channel: o.channel, Frame: k.Frame, Except: k.Except, At: hub.Place{Life: life, Offset: k.Offset}}
	}
	room.Broadcast(messages...)
}

func (o channelOutlet) begin(at Position) hub.Place { return o.server.newLife(at) }

func (o channelOutlet) reset(to Position) hub.Place {
	place := o.server.newLife(to)
	o.server.hub.Reset(o.channel, place, o.gap(to).Frame)
	return place
}

// newLife is a place in a life of a history that begins there.
func (s *Server) newLife(at Position) hub.Place {
	return hub.Place{Life: s.hub.NewLife(at.Epoch), Offset: at.Offset}
}

func (o channelOutlet) gap(to Position) *hub.Gap {
	return &hub.Gap{Offset: to.Offset, Frame: socket.NewFrame(notice{wire.Gap(o.channel, wire.Position(to))})}
}

// eventOutlet delivers the domain events.
type eventOutlet struct{ server *Server }

// body is an event as brokers carry it: the JSON text with everything.
func (e Event) body() []byte { return wire.DomainEventBody(wire.Event(e.message())) }

// eventOfBody reads what [Event.body] writes.
func eventOfBody(body []byte) Event {
	var e struct {
		ID, Type   string
		Timestamp  time.Time
		Payload    json.RawMessage
		UserID, IP string
	}
	_ = json.Unmarshal(body, &e) // what another node's Publish has checked
	return Event{ID: e.ID, Type: e.Type, Timestamp: e.Timestamp, Payload: e.Payload, UserID: e.UserID, IP: e.IP}
}

func (o eventOutlet) decode(_ string, entry Entry) hub.Kept {
	e := eventOfBody(entry.Body)
	record, _ := o.server.recent.add(e)
	event := e.onWire(&record.delivered)
	return hub.Kept{Offset: entry.Offset, Event: &event}
}

func (o eventOutlet) deliver(room hub.Room, life *hub.Life, entries []hub.Kept) {
	events := make([]hub.Event, len(entries))
	for i, k := range entries {
		events[i] = *k.Event
		events[i].At = hub.Place{Life: life, Offset: k.Offset}
	}
	room.PublishEvents(events...)
	for i := range entries {
		o.relay(events[i].ID)
	}
}

// relay tells the handlers that are to be told of an event whose delivery comes by.
func (o eventOutlet) relay(id string) {
	who := o.server.recent.pass(id)
	e, _, found := o.server.recent.find(id)
	o.server.notices.passed(e)
	if who == nobody || !found {
		return
	}
	nobodyWaits, cancel := context.WithCancel(context.Background())
	cancel()
	if err := o.server.tellHandlers(nobodyWaits, e, who); err != nil && !errors.Is(err, bus.ErrClosed) {
		// Beside: a log's lock is held here, and what the application's logger does is not known.
		go o.server.log.Warn("handlers have lost an event", "event", id, "err", err)
	}
}

func (o eventOutlet) begin(at Position) hub.Place {
	place := o.server.newLife(at)
	o.server.hub.ResetEvents(eventPosition(at), place, nil)
	return place
}

func (o eventOutlet) reset(to Position) hub.Place {
	place := o.server.newLife(to)
	o.server.hub.ResetEvents(eventPosition(to), place, o.gap(to).Frame)
	return place
}

func (o eventOutlet) gap(to Position) *hub.Gap {
	return &hub.Gap{Offset: to.Offset, Frame: socket.NewFrame(eventGap{eventPosition(to)})}
}

// eventGap tells who listens that events were missed.
type eventGap struct{ position string }

// Text is the message on a WebSocket.
func (g eventGap) Text() []byte { return wire.EventGap(g.position) }

// Block is the message on a domain event stream.
func (g eventGap) Block() []byte {
	return wire.Block("gap", g.position, wire.StreamGap{Newest: g.position}.Encode())
}

// positionMark begins the positions among the domain events that are no event's id: an id has no colon.
const positionMark = "at:"

// eventPosition is a position among the domain events as clients are given it where there is no event's id.
func eventPosition(at Position) string {
	return positionMark + at.Epoch + "-" + strconv.FormatUint(at.Offset, 10)
}

// parseEventPosition reads what [eventPosition] writes.
func parseEventPosition(s string) (Position, bool) {
	rest, marked := strings.CutPrefix(s, positionMark)
	at, err := wire.ParsePosition(rest)
	return Position(at), marked && err == nil
}
