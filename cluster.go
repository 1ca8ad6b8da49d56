package herald

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/herald-events/herald/internal/hub"
)

// clusterQuestion is what a node asks itself and all others. Exactly one of the verbs says what.
type clusterQuestion struct {
	Do      verb         `json:"do"`
	Channel string       `json:"channel,omitempty"`
	ID      string       `json:"id,omitempty"` // of a connection, a user or an event
	Stream  *streamOrder `json:"stream,omitempty"`
}

// verb is what is asked.
type verb string

const (
	askChannels       verb = "channels"       // which channels have subscribers, and how many
	askCount          verb = "count"          // how many subscribers a channel has
	askSubscribers    verb = "subscribers"    // who they are
	askDisconnect     verb = "disconnect"     // to close a connection
	askDisconnectUser verb = "disconnectUser" // to close a user's connections
	askStream         verb = "stream"         // to do something for a channel stream
	askDelivered      verb = "delivered"      // how many connections got an event
)

// clusterAnswer is what a node says.
type clusterAnswer struct {
	Channels    map[string]occupancy `json:"channels,omitempty"`
	Subscribers []string             `json:"subscribers,omitempty"`
	Count       int                  `json:"count,omitempty"`
	Found       bool                 `json:"found,omitempty"`
	Refused     *refusal             `json:"refused,omitempty"`
	Delivered   *deliveredAnswer     `json:"delivered,omitempty"`
}

// occupancy is what one node knows of a channel.
type occupancy struct {
	Subscribers int `json:"subscribers"` // connections of its own
	Members     int `json:"members,omitempty"`
}

// refusal is an error on its way between nodes.
type refusal struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
}

func (r *refusal) err() error {
	if r == nil {
		return nil
	}
	return refuse(r.Code, "%s", r.Message)
}

func refusalOf(err error) *refusal {
	if err == nil {
		return nil
	}
	e := asError(err)
	return &refusal{e.Code, e.Message}
}

// ask puts a question to this node and to all others, until take has enough. Where it has not, and a node has not
// answered, the error has [CodeUnavailable].
func (s *Server) ask(ctx context.Context, q clusterQuestion, take func(clusterAnswer) (enough bool)) error {
	own, err := s.answer(ctx, q)
	if err != nil {
		return err
	}
	if take(own) || s.config.Broker == nil {
		return nil
	}
	text, err := json.Marshal(q)
	if err != nil {
		return err
	}
	enough, unanswered := false, false
	err = s.broker.Ask(ctx, text, func(said []byte) bool {
		var a clusterAnswer
		if json.Unmarshal(said, &a) != nil { // it could not answer
			unanswered = true
			return false
		}
		enough = take(a)
		return enough
	})
	switch {
	case err != nil:
		return unavailable(err)
	case unanswered && !enough:
		return refuse(CodeUnavailable, "a node could not answer")
	}
	return nil
}

// answer is what this node says.
func (s *Server) answer(ctx context.Context, q clusterQuestion) (a clusterAnswer, err error) {
	defer func() {
		if errors.Is(err, hub.ErrEnded) && q.Do != askStream {
			err = nil // every connection is closed by now
		}
	}()
	switch q.Do {
	case askChannels:
		a.Channels = s.channelsHere(q.Channel)
	case askCount:
		a.Count = s.hub.Count(q.Channel)
	case askSubscribers:
		a.Subscribers, err = s.hub.Subscribers(ctx, q.Channel)
	case askDisconnect:
		a.Count, err = s.hub.CloseConnection(ctx, q.ID, disconnectedByAPI)
	case askDisconnectUser:
		a.Count, err = s.hub.CloseUser(ctx, q.ID, disconnectedByAPI)
	case askStream:
		if q.Stream != nil {
			a.Found, a.Refused, err = s.obey(ctx, *q.Stream)
		}
	case askDelivered:
		if _, d, found := s.recent.find(q.ID); found {
			a.Delivered = &deliveredAnswer{WebSocket: d.WebSocket.Load(), SSE: d.SSE.Load()}
		}
	}
	return a, err
}

// channelsHere are the channels of this node whose names begin with a prefix.
func (s *Server) channelsHere(prefix string) map[string]occupancy {
	here := map[string]occupancy{}
	s.hub.Channels(func(name string, subscribers int) {
		if len(name) < len(prefix) || name[:len(prefix)] != prefix {
			return
		}
		members, _ := s.rooms.count(name)
		here[name] = occupancy{subscribers, members}
	})
	return here
}

// Answer implements Node.
func (n node) Answer(ctx context.Context, text []byte) []byte {
	var q clusterQuestion
	if json.Unmarshal(text, &q) != nil {
		return nil
	}
	a, err := n.server.answer(ctx, q)
	if err != nil && !errors.Is(err, hub.ErrEnded) { // after its end it has nothing of what is asked for
		return nil
	}
	said, err := json.Marshal(a)
	if err != nil {
		return nil
	}
	return said
}
