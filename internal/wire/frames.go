package wire

import (
	"encoding/json"
	"strconv"
	"time"
)

// Connected greets a WebSocket.
func Connected(socketID string, pingInterval time.Duration) []byte {
	return notice("connected", len(socketID)).
		in("data").text("socketId", socketID).number("pingInterval", pingInterval.Milliseconds()).out().
		done()
}

// StreamConnected greets a channel stream.
func StreamConnected(connectionID string) []byte {
	return notice("connected", len(connectionID)).
		in("data").text("connectionId", connectionID).out().
		done()
}

// StreamConnectedForGood greets a channel stream whose channels are too many for it to be resumed.
func StreamConnectedForGood(connectionID string) []byte {
	return notice("connected", len(connectionID)).
		in("data").text("connectionId", connectionID).truth("resumable", false).out().
		done()
}

// EventStreamConnected greets a domain event stream: the data of its
// "connected" block, which no envelope surrounds.
func EventStreamConnected(connectionID string) []byte {
	return object{'{'}.text("connectionId", connectionID).done()
}

// AuthOK tells a client whom it is now.
func AuthOK(userID string) []byte {
	return frame("auth", len(userID)).truth("ok", true).text("userId", userID).done()
}

// AuthFailed tells a client why a token was refused, or that it has expired.
func AuthFailed(reason string) []byte {
	return frame("auth", len(reason)).truth("ok", false).text("error", reason).done()
}

// Member is who a connection is on a presence channel. Info is checked JSON,
// nil where there is none.
type Member struct {
	ID   string
	Info json.RawMessage
}

// Subscribed is the answer to a subscribe to a channel. Nil and empty fields are left out.
type Subscribed struct {
	Channel   string
	Members   *[]Member // on a presence channel, the subscriber among them
	Newest    *Position // on a channel with history: of its newest message
	Recovered *bool     // where the subscribe had "since"
}

// Encode returns the subscription_succeeded message.
func (s Subscribed) Encode() []byte {
	size := len(s.Channel)
	if s.Members != nil {
		size += membersSize(*s.Members)
	}
	o := frame("subscription_succeeded", size).text("channel", s.Channel)
	if s.Members != nil {
		o = o.in("data").members("members", *s.Members).out()
	}
	if s.Newest != nil {
		o = o.position(*s.Newest)
	}
	if s.Recovered != nil {
		o = o.truth("recovered", *s.Recovered)
	}
	return o.done()
}

// SubscriptionError refuses a subscribe to a channel.
func SubscriptionError(channel, code, message string) []byte {
	return frame("subscription_error", len(channel)+len(code)+2*len(message)).
		text("channel", channel).text("error", message).text("message", message).text("code", code).
		done()
}

// Unsubscribed answers an unsubscribe from a channel.
func Unsubscribed(channel string) []byte {
	return frame("unsubscribed", len(channel)).text("channel", channel).done()
}

// EventsSubscribed answers a subscribe to, or unsubscribe from, domain events
// with all patterns that the connection now has. Position is good for "since"
// and left out when empty; recovered is nil where nothing was to be resumed.
func EventsSubscribed(events []string, position string, recovered *bool) []byte {
	size := len(position)
	for _, e := range events {
		size += len(`"",`) + len(e)
	}
	o := frame("subscribed", size).texts("events", events)
	if position != "" {
		o = o.text("position", position)
	}
	if recovered != nil {
		o = o.truth("recovered", *recovered)
	}
	return o.done()
}

// Error refuses a message.
func Error(code, message string) []byte {
	return frame("error", len(code)+2*len(message)).
		text("code", code).text("message", message).text("error", message).
		done()
}

// Pong answers a ping message.
func Pong() []byte { return frame("pong", 0).done() }

// ChannelEvent is something said on a channel. Data is checked
// JSON and stays as it is, byte for byte; nil is null.
func ChannelEvent(channel, event string, data []byte) []byte {
	return channelEvent(channel, event, len(data)).raw("data", data).done()
}

// KeptEvent is [ChannelEvent] on a channel with history, with the message's place in it.
func KeptEvent(at Position, channel, event string, data []byte) []byte {
	return channelEvent(channel, event, len(data)+len(at.Epoch)+positionSize).raw("data", data).position(at).done()
}

// Gap tells an open subscription that it has missed what cannot be filled, and where it goes on.
func Gap(channel string, at Position) []byte {
	return channelEvent(channel, "gap", len(at.Epoch)+positionSize).in("data").position(at).out().done()
}

// EventGap tells who listens to domain events that some were missed, and the position where they go on.
func EventGap(position string) []byte {
	return notice("gap", len(position)).in("data").text("position", position).out().done()
}

// MemberAdded tells a channel that a member's first connection joined.
func MemberAdded(channel string, m Member) []byte {
	return channelEvent(channel, "member_added", len(m.ID)+len(m.Info)).
		in("data").member(m).out().
		done()
}

// MemberRemoved tells a channel that a member's last connection left.
func MemberRemoved(channel, id string) []byte {
	return channelEvent(channel, "member_removed", len(id)).in("data").text("id", id).out().done()
}

// Draining tells a client that the server goes down, and how long after the
// close it is to come back.
func Draining(retryAfter time.Duration) []byte {
	return notice("draining", 0).
		in("data").number("retryAfter", retryAfter.Milliseconds()).out().
		done()
}

// Event is a domain event. UserID and IP are left out when empty, which they
// are for every reader who may not see them.
type Event struct {
	ID        string
	Type      string
	Timestamp time.Time
	Payload   json.RawMessage // checked JSON; nil is null
	UserID    string
	IP        string
}

// DomainEvent is the WebSocket's message of a domain event.
func DomainEvent(ev Event) []byte {
	return frame("event", ev.size()).in("event").event(ev).out().done()
}

// DomainEventBody is the event alone, as a domain event stream carries it.
func DomainEventBody(ev Event) []byte {
	const fixed = 96 // names, punctuation, timestamp
	return append(make(object, 0, fixed+ev.size()), '{').event(ev).done()
}

// WebhookBody is the event as Standard Webhooks 1.0 has it, with the event's id beside what that asks for.
func WebhookBody(ev Event) []byte {
	const fixed = 96 // names, punctuation, timestamp
	return append(make(object, 0, fixed+ev.size()), '{').
		text("type", ev.Type).time("timestamp", ev.Timestamp).raw("data", ev.Payload).text("id", ev.ID).
		done()
}

func (ev Event) size() int {
	return len(ev.ID) + len(ev.Type) + len(ev.Payload) + len(ev.UserID) + len(ev.IP)
}

// positionSize is what a position takes beside its epoch, about.
const positionSize = 48

func (o object) position(at Position) object {
	o = strconv.AppendUint(o.text("epoch", at.Epoch).key("offset"), at.Offset, 10)
	return o
}

// FormatTime is RFC 3339 in UTC with exactly three decimals, cut off and not
// rounded, so that a time never formats as a later one.
func FormatTime(t time.Time) string { return t.UTC().Format(timeLayout) }

const timeLayout = "2006-01-02T15:04:05.000Z"

// notice begins an event that concerns the connection and no channel.
func notice(event string, size int) object {
	return frame("event", size).text("event", event)
}

func channelEvent(channel, event string, size int) object {
	return frame("event", len(channel)+len(event)+size).text("channel", channel).text("event", event)
}

func (o object) event(ev Event) object {
	o = o.text("id", ev.ID).text("type", ev.Type).time("timestamp", ev.Timestamp).raw("payload", ev.Payload)
	if ev.UserID != "" {
		o = o.text("userId", ev.UserID)
	}
	if ev.IP != "" {
		o = o.text("ip", ev.IP)
	}
	return o
}

func (o object) members(key string, members []Member) object {
	o = append(o.key(key), '[')
	for i, m := range members {
		if i > 0 {
			o = append(o, ',')
		}
		o = append(o, '{').member(m).out()
	}
	return append(o, ']')
}

func (o object) member(m Member) object {
	o = o.text("id", m.ID)
	if len(m.Info) > 0 {
		o = o.raw("info", m.Info)
	}
	return o
}

func membersSize(members []Member) int {
	size := len(`"data":{"members":[]},`)
	for _, m := range members {
		size += len(`{"id":"","info":},`) + len(m.ID) + len(m.Info)
	}
	return size
}
