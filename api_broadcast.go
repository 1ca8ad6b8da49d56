package herald

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

const (
	// maxEnvelope is what a broadcast may have beside its data, in bytes: 1,000 names of channels of
	// 200 characters with their quotes, an event's name, and white space.
	maxEnvelope = 256 << 10
	// maxBatchBody bounds a batch in bytes: 1,000 messages of 16 KiB. What is larger gains nothing from
	// going together.
	maxBatchBody = 16 << 20
)

// broadcastBody documents a channel message; messageShape reads it.
type broadcastBody struct {
	_        struct{}        `additionalProperties:"false"`
	Channel  string          `json:"channel,omitempty" minLength:"1" maxLength:"200" pattern:"^[A-Za-z0-9_=@,.;-]+$" doc:"The channel"`
	Channels []string        `json:"channels,omitempty" minItems:"1" maxItems:"1000" nullable:"false" doc:"Or the channels"`
	Event    string          `json:"event" minLength:"1" maxLength:"200" doc:"The event's name, without control characters"`
	Data     json.RawMessage `json:"data,omitempty" doc:"Any JSON; null if it is left out"`
	Except   string          `json:"except,omitempty" doc:"The socket id or connection id that does not get the message"`
}

// TransformSchema adds what struct tags cannot say.
func (broadcastBody) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	for _, name := range []string{"channel", "channels"} {
		s.OneOf = append(s.OneOf, &huma.Schema{
			Type: huma.TypeObject, Properties: map[string]*huma.Schema{name: {}}, Required: []string{name},
		})
	}
	return s
}

type batchBody struct {
	_        struct{}        `additionalProperties:"false"`
	Messages []broadcastBody `json:"messages" minItems:"1" maxItems:"1000" nullable:"false" doc:"The messages, in order"`
}

type broadcastAnswer struct {
	OK        bool                `json:"ok" doc:"Always true"`
	Positions map[string]Position `json:"positions,omitempty" doc:"Of channels with history: where the message, of several the last, stands"`
}

func (a *api) broadcasts() {
	example := broadcastBody{
		Channel: "orders", Event: "created", Data: json.RawMessage(`{"id":42}`), Except: "137204873.482911",
	}
	maxBody := a.server.config.Limits.MaxPayloadSize + maxEnvelope
	register(a, operation{
		Method: http.MethodPost, Path: "/api/v1/broadcast", ID: "broadcast", Tag: tagBroadcast,
		Summary: "Broadcast a message",
		Description: "Says something on one channel or on several, except to one connection. " +
			"The answer says that the message is on its way; it waits for no subscriber.",
		Scope: ScopeBroadcast, Body: example, MaxBody: maxBody,
	}, broadcastAnswer{OK: true}, a.server.serveBroadcast)
	register(a, operation{
		Method: http.MethodPost, Path: "/api/v1/broadcast/batch", ID: "broadcastBatch", Tag: tagBroadcast,
		Summary:     "Broadcast many messages",
		Description: "Says up to 1,000 messages in their order. One bad message and none is said.",
		Scope:       ScopeBroadcast, Body: batchBody{Messages: []broadcastBody{example}}, MaxBody: max(maxBatchBody, maxBody),
	}, broadcastAnswer{OK: true}, a.server.serveBatch)
}

func (s *Server) serveBroadcast(r *http.Request, body []byte) (broadcastAnswer, error) {
	messages, err := readBroadcast(body, s.config.Limits.MaxPayloadSize)
	if err != nil {
		return broadcastAnswer{}, err
	}
	return s.answerBroadcast(r, messages)
}

func (s *Server) serveBatch(r *http.Request, body []byte) (broadcastAnswer, error) {
	messages, err := readBatch(body, s.config.Limits.MaxPayloadSize)
	if err != nil {
		return broadcastAnswer{}, err
	}
	return s.answerBroadcast(r, messages)
}

func (s *Server) answerBroadcast(r *http.Request, messages []message) (broadcastAnswer, error) {
	answer := broadcastAnswer{OK: true}
	receipts, err := s.broadcast(r.Context(), messages...)
	for i, receipt := range receipts {
		if receipt.Position == (Position{}) {
			continue
		}
		if answer.Positions == nil {
			answer.Positions = map[string]Position{}
		}
		answer.Positions[messages[i].channel.String()] = receipt.Position
	}
	return answer, err
}

func readBroadcast(body []byte, maxData int) ([]message, error) {
	var (
		rd  reading
		one said
	)
	present, err := rd.body(body, one.shape(maxData))
	if err != nil {
		return nil, err
	}
	rd.fail("channel", one.checkTarget(present))
	return one.messages(), rd.err()
}

func readBatch(body []byte, maxData int) ([]message, error) {
	var (
		rd       reading
		messages []message
	)
	if _, err := rd.body(body, batchShape(&messages, maxData)); err != nil {
		return nil, err
	}
	return messages, rd.err()
}

func batchShape(messages *[]message, maxData int) shape {
	return shape{
		required: []string{"messages"},
		fields: map[string]field{
			"messages": listField(maxTargets, func(rd *reading, path string, value json.RawMessage) {
				var one said
				if present := rd.object(path, value, one.shape(maxData)); present != nil {
					rd.fail(fieldPath(path, "channel"), one.checkTarget(present))
				}
				*messages = append(*messages, one.messages()...)
			}),
		},
	}
}

// said is a channel message as a body has it: once for all of its channels.
type said struct {
	channels []Channel
	message  message
}

func (m *said) shape(maxData int) shape {
	m.message.data = []byte("null")
	channel := textField(func(name string) error {
		ch, err := ParseChannel(name)
		m.channels = append(m.channels, ch)
		return err
	})
	return shape{
		required: []string{"event"},
		fields: map[string]field{
			"channel":  channel,
			"channels": listField(maxTargets, channel),
			"event": textField(func(name string) error {
				m.message.event = name
				return checkEventName(name)
			}),
			"data": rawField(func(value json.RawMessage) (err error) {
				m.message.data, err = encodeData(value, maxData)
				return err
			}),
			"except": textField(func(id string) error {
				m.message.except = id
				return checkConnectionID(id)
			}),
		},
	}
}

func (m *said) checkTarget(present map[string]bool) error {
	switch {
	case present["channel"] && present["channels"]:
		return errors.New("stands beside channels; one of them is due")
	case !present["channel"] && !present["channels"]:
		return errors.New("is missing, and so is channels; one of them is due")
	}
	return nil
}

func (m *said) messages() []message {
	messages := make([]message, len(m.channels))
	for i, ch := range m.channels {
		messages[i] = m.message
		messages[i].channel = ch
	}
	return messages
}
