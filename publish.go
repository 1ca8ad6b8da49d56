package herald

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/herald-events/herald/internal/bus"
	"github.com/herald-events/herald/internal/hub"
	"github.com/herald-events/herald/internal/socket"
	"github.com/herald-events/herald/internal/wire"
)

// maxTargets is how many channels one broadcast, and how many messages one batch, may have.
const maxTargets = 1000

// Broadcast says something on a channel: every subscriber gets event and data, whatever it is
// connected with. The data is anything that encodes as JSON; a json.RawMessage goes out as it is.
//
// Broadcast returns once the message is on its way and never waits for a subscriber. It waits for
// room when the server delivers more slowly than it is told to, until ctx ends; then the error has
// [CodeUnavailable]. A bad name or bad data is refused with [CodeBadRequest] and its like.
func (s *Server) Broadcast(ctx context.Context, channel, event string, data any) error {
	return s.BroadcastExcept(ctx, channel, event, data, "")
}

// BroadcastExcept is [Server.Broadcast] for all but one connection: the one with that socket id or
// connection id, usually whoever caused the message and knows of it already.
func (s *Server) BroadcastExcept(ctx context.Context, channel, event string, data any, except string) error {
	m, err := s.newMessage(channel, event, data)
	if err != nil {
		return err
	}
	m.except = except
	_, err = s.broadcast(ctx, m)
	return err
}

// BroadcastToMany is [Server.Broadcast] on up to 1,000 channels. One bad name and nothing is said.
func (s *Server) BroadcastToMany(ctx context.Context, channels []string, event string, data any) error {
	messages, err := s.newMessages(channels, event, data)
	if err != nil {
		return err
	}
	_, err = s.broadcast(ctx, messages...)
	return err
}

// Publish records a domain event and tells everyone who listens to its type: handlers of
// [Server.Subscribe] and [On], sockets and streams. It takes a payload of the catalogue, one of the
// application's own, or an [Event] that sets more than the payload. An event whose id is known
// already changes nothing and is no error. Known are at least those of the last hour, up to 100,000; where the same id is
// being published at the time, that is waited for, until ctx ends.
//
// The error of a synchronous handler is returned after everyone has been told.
func (s *Server) Publish(ctx context.Context, p Payload) error {
	e, err := eventOf(p)
	if err != nil {
		return err
	}
	_, err = s.publish(ctx, e)
	return err
}

// eventOf is the event that a payload makes, unless it is one already.
func eventOf(p Payload) (Event, error) {
	switch p := p.(type) {
	case Event:
		return p, nil
	case *Event:
		if p != nil {
			return *p, nil
		}
	case nil:
	default:
		return Event{Type: typeOf(p), Payload: p}, nil
	}
	return Event{}, refuse(CodeBadRequest, "there is no event to publish")
}

// publication is what became of a call to publish.
type publication struct {
	ID        string
	Duplicate bool
}

func (s *Server) publish(ctx context.Context, e Event) (publication, error) {
	e, err := e.checked(s.config.clock.Now(), s.config.Limits.MaxPayloadSize)
	if err != nil {
		return publication{}, err
	}
	if err := s.checkOpen(); err != nil {
		return publication{}, err
	}
	return s.accept(ctx, e)
}

// accept has an event accepted, and tells the handlers of this node.
func (s *Server) accept(ctx context.Context, e Event) (publication, error) {
	done := publication{ID: e.ID}
	rec, again, err := s.recent.publish(ctx, e)
	if err != nil {
		return publication{}, err
	}
	if rec == nil {
		done.Duplicate = true
		return done, nil
	}
	duplicate, err := s.record(ctx, e)
	who := everybody
	switch {
	case err != nil:
		if !s.recent.failed(rec) {
			return publication{}, unavailable(err)
		}
	case duplicate:
		done.Duplicate = true
		who = s.recent.duplicate(rec, again)
	default:
		s.recent.published(rec)
	}
	if !done.Duplicate {
		s.metrics.published.Inc()
	}
	err = s.tellHandlers(ctx, e, who)
	if errors.Is(err, bus.ErrClosed) {
		err = unavailable(err)
	}
	return done, err
}

// tellHandlers calls handlers of this node.
func (s *Server) tellHandlers(ctx context.Context, e Event, who hearers) error {
	switch who {
	case ofAllNodes:
		return s.relay.Publish(ctx, e.Type, e)
	case everybody:
		return errors.Join(s.bus.Publish(ctx, e.Type, e), s.relay.Publish(ctx, e.Type, e))
	}
	return nil
}

// record has an event last, where there is a store, which has the broker told; or it hands it to the broker.
func (s *Server) record(ctx context.Context, e Event) (duplicate bool, err error) {
	if store := s.config.Store; store != nil {
		entry, err := s.auditOf(e)
		if err != nil {
			return false, err
		}
		return store.Record(ctx, Record{Event: e, Audit: entry})
	}
	receipt, err := s.hand(ctx, e)
	return receipt.Duplicate, err
}

// hand hands an event to the broker, once there is room for it here.
func (s *Server) hand(ctx context.Context, e Event) (Receipt, error) {
	body := e.body()
	if err := s.awaitRoom(ctx, len(body)); err != nil {
		return Receipt{}, err
	}
	receipts, err := s.broker.Publish(ctx, Publication{
		Stream: EventStream, Body: body, Keep: s.config.EventHistory, ID: e.ID,
	})
	if err != nil {
		return Receipt{}, err
	}
	return receipts[0], nil
}

// awaitRoom waits until there is room for so many bytes: what the broker has taken is delivered, however long
// that takes, so whoever does not want to wait is to be turned away before.
func (s *Server) awaitRoom(ctx context.Context, size int) error {
	room, err := s.hub.Reserve(ctx, size)
	if err == nil {
		room.Release()
	}
	return err
}

// message is something that is about to be said on a channel, checked, or has been.
type message struct {
	channel Channel
	event   string
	data    []byte
	except  string
	at      wire.Position // in the channel's history; zero: it is not kept
}

func (s *Server) newMessage(channel, event string, data any) (message, error) {
	messages, err := s.newMessages([]string{channel}, event, data)
	if err != nil {
		return message{}, err
	}
	return messages[0], nil
}

func (s *Server) newMessages(channels []string, event string, data any) ([]message, error) {
	if len(channels) == 0 || len(channels) > maxTargets {
		return nil, refuse(CodeBadRequest, "a message goes to 1 to %d channels, not %d", maxTargets, len(channels))
	}
	if err := checkEventName(event); err != nil {
		return nil, err
	}
	raw, err := encodeData(data, s.config.Limits.MaxPayloadSize)
	if err != nil {
		return nil, err
	}
	messages := make([]message, 0, len(channels))
	for _, name := range channels {
		channel, err := ParseChannel(name)
		if err != nil {
			return nil, err
		}
		messages = append(messages, message{channel: channel, event: event, data: raw})
	}
	return messages, nil
}

// broadcast says the messages in order, and tells where those stand that are kept.
func (s *Server) broadcast(ctx context.Context, messages ...message) ([]Receipt, error) {
	if err := s.checkOpen(); err != nil {
		return nil, err
	}
	receipts, err := s.say(ctx, messages)
	if err != nil {
		return nil, unavailable(err)
	}
	s.metrics.broadcast.Add(float64(len(messages)))
	return receipts, nil
}

// say hands messages to the broker, if it has anything to do with one of them, and to the hub otherwise.
func (s *Server) say(ctx context.Context, messages []message) ([]Receipt, error) {
	for _, m := range messages {
		if s.streams.needed(m.channel.String()) {
			return s.sayThroughBroker(ctx, messages)
		}
	}
	var posts []hub.Message
	for _, m := range messages {
		if s.hub.Count(m.channel.String()) > 0 { // or its frame would be made for nobody
			posts = append(posts, m.onWire())
		}
	}
	return nil, s.hub.Broadcast(ctx, posts...)
}

func (s *Server) sayThroughBroker(ctx context.Context, messages []message) ([]Receipt, error) {
	publications := make([]Publication, len(messages))
	size := 0
	for i, m := range messages {
		name := m.channel.String()
		publications[i] = Publication{Stream: name, Body: m.body(), Keep: s.histories.of(name)}
		size += len(publications[i].Body)
	}
	if err := s.awaitRoom(ctx, size); err != nil {
		return nil, err
	}
	return s.broker.Publish(ctx, publications...)
}

// checkOpen refuses what comes after the server's end: nobody would get it.
func (s *Server) checkOpen() error {
	if s.state.Load() == phaseEnded {
		return refuse(CodeUnavailable, "the server has ended")
	}
	return nil
}

func unavailable(err error) error {
	if isCode(err, CodeUnavailable) {
		return err
	}
	return &Error{Code: CodeUnavailable, Message: "the message was not accepted", Err: err}
}

// frameOverhead is what the envelope of a message adds to its data, about.
const frameOverhead = 128

func (m message) onWire() hub.Message {
	return hub.Message{
		Channel: m.channel.String(),
		Frame:   socket.NewFrame(m),
		Size:    len(m.data) + frameOverhead,
		Except:  m.except,
	}
}

// Text is the message on a WebSocket.
func (m message) Text() []byte {
	if m.at.Offset > 0 {
		return wire.KeptEvent(m.at, m.channel.String(), m.event, m.data)
	}
	return wire.ChannelEvent(m.channel.String(), m.event, m.data)
}

// Block is the message on a channel stream.
func (m message) Block() []byte { return streamBlock("event", m.Text()) }

// onWire is a checked event on its way to sockets and streams.
func (e Event) onWire(delivered *hub.Delivered) hub.Event {
	full := e.message()
	plain := full
	plain.UserID, plain.IP = "", ""
	return hub.Event{
		ID:        e.ID,
		Type:      e.Type,
		Owners:    e.owners(),
		Plain:     socket.NewFrame(plain),
		Full:      socket.NewFrame(full),
		Size:      len(full.Payload) + frameOverhead,
		Delivered: delivered,
	}
}

// message is a checked event as connections get it that may see all of it.
func (e Event) message() eventMessage {
	payload, _ := e.Payload.(json.RawMessage)
	return eventMessage{ID: e.ID, Type: e.Type, Timestamp: e.Timestamp, Payload: payload, UserID: e.UserID, IP: e.IP}
}

// eventMessage is a domain event as a connection gets it.
type eventMessage wire.Event

// Text is the event on a WebSocket.
func (m eventMessage) Text() []byte { return wire.DomainEvent(wire.Event(m)) }

// Block is the event on a domain event stream.
func (m eventMessage) Block() []byte {
	return wire.Block(m.Type, m.ID, wire.DomainEventBody(wire.Event(m)))
}
