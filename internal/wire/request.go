package wire

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// Kind tells what a client asks for.
type Kind uint8

// The zero Kind is none of them, so that an empty Request asks for nothing.
const (
	Auth Kind = iota + 1
	SubscribeChannel
	SubscribeEvents
	UnsubscribeChannel
	UnsubscribeEvents
	ClientEvent
	Ping
)

var kindNames = [...]string{
	Auth:               "auth",
	SubscribeChannel:   "subscribe channel",
	SubscribeEvents:    "subscribe events",
	UnsubscribeChannel: "unsubscribe channel",
	UnsubscribeEvents:  "unsubscribe events",
	ClientEvent:        "message",
	Ping:               "ping",
}

func (k Kind) String() string {
	if int(k) < len(kindNames) && kindNames[k] != "" {
		return kindNames[k]
	}
	return "Kind(" + strconv.Itoa(int(k)) + ")"
}

// Position is a place in a channel's history: offset counts from 1 within an
// epoch, 0 is before the first message.
type Position struct {
	Epoch  string
	Offset uint64
}

// Request is what one client message asks for. Only the fields of its kind are
// set. Names, patterns and tokens are what the client wrote, unchecked.
type Request struct {
	Kind Kind

	Token string // Auth

	// SubscribeChannel, UnsubscribeChannel and ClientEvent.
	Channel string
	Event   string // ClientEvent

	// Data is the client's own member data of a SubscribeChannel, nil for none,
	// or the data of a ClientEvent. It is compact and may be a part of the
	// decoded message: who keeps it, or reuses that buffer, copies it.
	Data json.RawMessage

	// SubscribeChannel.
	Auth           string
	ChannelData    string // as signed
	HasChannelData bool
	Since          *Position

	// SubscribeEvents and UnsubscribeEvents.
	Events     []string // patterns, never empty
	SinceID    string   // SubscribeEvents
	HasSinceID bool
}

// BadMessage is a message that the protocol does not know. Message is meant
// for the client.
type BadMessage struct {
	Message string
}

func (e *BadMessage) Error() string { return e.Message }

func bad(format string, args ...any) *BadMessage {
	return &BadMessage{Message: fmt.Sprintf(format, args...)}
}

// maxMembers bounds a client message: the protocol needs 8 members, the rest is
// room for what dialects add. Without it a mebibyte of tiny members would cost
// its connection's loop 80 ms and 40 MB; other
// mebibytes cost it 5 to 11 ms.
const maxMembers = 64

// MaxPatterns is how many patterns a connection may have. Decode keeps one more, for the door to see
// that there are too many; the rest is read and thrown away.
const MaxPatterns = 100

// Decode reads one client message. The error is a [*BadMessage]. Fields that
// the kind of message does not have are ignored.
func Decode(msg []byte) (Request, error) {
	fields, err := objectUpTo(maxMembers, msg)
	if err != nil {
		return Request{}, bad("%v", err)
	}
	m := members(fields)
	kind, err := m.text("type")
	if err != nil {
		return Request{}, err
	}
	var r Request
	switch kind {
	case "auth":
		r, err = m.auth()
	case "subscribe":
		r, err = m.subscribe()
	case "unsubscribe":
		r, err = m.unsubscribe()
	case "message":
		r, err = m.clientEvent()
	case "ping":
		r.Kind = Ping
	default:
		err = bad(`unknown "type" %q: it is one of auth, subscribe, unsubscribe, message, ping`, clip(kind))
	}
	if err != nil {
		return Request{}, err
	}
	return r, nil
}

// members are the fields of a message that is being decoded.
type members []Field

func (m members) auth() (Request, error) {
	token, err := m.text("token")
	return Request{Kind: Auth, Token: token}, err
}

func (m members) subscribe() (Request, error) {
	what, err := m.target()
	if err != nil {
		return Request{}, err
	}
	if what == "channel" {
		return m.subscribeChannel()
	}
	return m.subscribeEvents()
}

func (m members) subscribeChannel() (r Request, err error) {
	r.Kind = SubscribeChannel
	if r.Channel, err = m.text("channel"); err != nil {
		return r, err
	}
	if r.Auth, _, err = m.optionalText("auth"); err != nil {
		return r, err
	}
	if r.ChannelData, r.HasChannelData, err = m.channelData(); err != nil {
		return r, err
	}
	if r.Since, err = m.since(); err != nil {
		return r, err
	}
	if data, ok := m.optional("data"); ok {
		r.Data = compactPart(data)
	}
	return r, nil
}

func (m members) subscribeEvents() (r Request, err error) {
	r.Kind = SubscribeEvents
	if r.Events, err = m.patterns(); err != nil {
		return r, err
	}
	r.SinceID, r.HasSinceID, err = m.optionalText("since")
	return r, err
}

func (m members) unsubscribe() (r Request, err error) {
	what, err := m.target()
	if err != nil {
		return r, err
	}
	if what == "channel" {
		r.Kind = UnsubscribeChannel
		r.Channel, err = m.text("channel")
		return r, err
	}
	r.Kind = UnsubscribeEvents
	r.Events, err = m.patterns()
	return r, err
}

func (m members) clientEvent() (r Request, err error) {
	r.Kind = ClientEvent
	if r.Channel, err = m.text("channel"); err != nil {
		return r, err
	}
	if r.Event, err = m.text("event"); err != nil {
		return r, err
	}
	data, ok := m.find("data")
	if !ok {
		data = json.RawMessage("null")
	}
	r.Data = compactPart(data)
	return r, nil
}

// target names the field that says what is subscribed to.
func (m members) target() (string, error) {
	_, channel := m.find("channel")
	_, events := m.find("events")
	switch {
	case channel && events:
		return "", bad(`"channel" and "events" cannot stand in one message`)
	case channel:
		return "channel", nil
	case events:
		return "events", nil
	default:
		return "", bad(`"channel" or "events" is missing`)
	}
}

// channelData reads the signed member data under both of its names. Two texts
// that differ are refused, not chosen from: only one of them can be the signed one.
func (m members) channelData() (text string, ok bool, err error) {
	snake, hasSnake, err := m.optionalText("channel_data")
	if err != nil {
		return "", false, err
	}
	camel, hasCamel, err := m.optionalText("channelData")
	if err != nil {
		return "", false, err
	}
	if hasSnake && hasCamel && snake != camel {
		return "", false, bad(`"channel_data" and "channelData" differ`)
	}
	if hasSnake {
		return snake, true, nil
	}
	return camel, hasCamel, nil
}

// since reads where a channel's subscriber wants to go on; nil is from now.
func (m members) since() (*Position, error) {
	raw, ok := m.optional("since")
	if !ok {
		return nil, nil
	}
	if raw[0] != '{' {
		return nil, bad(`"since" must be an object of "epoch" and "offset"`)
	}
	fields, err := Object(raw)
	if err != nil {
		return nil, bad(`"since": %v`, err)
	}
	in := members(fields)
	epoch, ok := in.find("epoch")
	if !ok || epoch[0] != '"' {
		return nil, bad(`"epoch" in "since" must be a string`)
	}
	raw, _ = in.find("offset")
	offset, err := strconv.ParseUint(string(raw), 10, 64)
	if err != nil {
		return nil, bad(`"offset" in "since" must be a whole number, 0 or more`)
	}
	return &Position{Epoch: unquote(epoch), Offset: offset}, nil
}

func (m members) patterns() ([]string, error) {
	raw, _ := m.find("events")
	if raw[0] != '[' {
		return nil, bad(`"events" must be an array of strings`)
	}
	var patterns []string
	s := scanner{data: raw, pos: 1}
	for s.space(); s.peek() == '"'; s.space() {
		quoted, err := s.text()
		if err != nil {
			return nil, bad(`"events": %v`, err)
		}
		if len(patterns) <= MaxPatterns {
			patterns = append(patterns, unquote(quoted))
		}
		s.space()
		if s.peek() == ',' {
			s.pos++
		}
	}
	if s.peek() != ']' {
		return nil, bad(`"events" must be an array of strings`)
	}
	if len(patterns) == 0 {
		return nil, bad(`"events" is empty`)
	}
	return patterns, nil
}

func (m members) find(name string) (json.RawMessage, bool) {
	for i := range m {
		if m[i].Name == name {
			return m[i].Value, true
		}
	}
	return nil, false
}

// optional finds a field that may be null, which counts as absent.
func (m members) optional(name string) (json.RawMessage, bool) {
	raw, ok := m.find(name)
	if !ok || raw[0] == 'n' {
		return nil, false
	}
	return raw, true
}

// text reads a string that must be there.
func (m members) text(name string) (string, error) {
	raw, ok := m.find(name)
	if !ok {
		return "", bad("%q is missing", name)
	}
	return stringOf(name, raw)
}

func (m members) optionalText(name string) (text string, ok bool, err error) {
	raw, ok := m.optional(name)
	if !ok {
		return "", false, nil
	}
	text, err = stringOf(name, raw)
	return text, err == nil, err
}

func stringOf(name string, raw json.RawMessage) (string, error) {
	if raw[0] != '"' {
		return "", bad("%q must be a string", name)
	}
	return unquote(raw), nil
}

// compactPart compacts a part of a message, whose scan has found it valid.
func compactPart(raw json.RawMessage) json.RawMessage {
	s := scanner{data: raw}
	_ = s.value() // counts the blanks
	if s.blanks == 0 {
		return raw
	}
	return strip(raw, len(raw)-s.blanks)
}
