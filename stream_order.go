package herald

import (
	"context"

	"github.com/herald-events/herald/internal/hub"
)

// streamOrder is what a request wants of a channel stream, on whatever node that is.
type streamOrder struct {
	Do      streamVerb `json:"do"`
	ID      string     `json:"id"`             // the stream's connection id
	User    string     `json:"user,omitempty"` // who asks; empty: nobody
	Channel string     `json:"channel,omitempty"`
	Member  *Member    `json:"member,omitempty"` // who joins, on a presence channel
	Signed  bool       `json:"signed,omitempty"` // a backend vouches for the member
}

type streamVerb string

const (
	findStream  streamVerb = "find"  // to be the asker's
	joinStream  streamVerb = "join"  // to join a channel for which the asker was admitted
	leaveStream streamVerb = "leave" // to leave one
)

// orderStream has the stream's node do it. That no node has the stream is only said if all have answered.
func (s *Server) orderStream(ctx context.Context, o streamOrder) error {
	found := false
	var refused error
	err := s.ask(ctx, clusterQuestion{Do: askStream, Stream: &o}, func(a clusterAnswer) bool {
		found, refused = a.Found, a.Refused.err()
		return found
	})
	switch {
	case err != nil:
		return err
	case !found:
		return refuse(CodeNotFound, "no stream has the connection id %q", o.ID)
	}
	return refused
}

// obey does what is wanted of a stream of this node. It reports whether there is one, and why it does not do
// it; the error says that it was not reached.
func (s *Server) obey(ctx context.Context, o streamOrder) (found bool, refused *refusal, err error) {
	if s.state.Load() == phaseNew {
		return false, nil, nil // there is no loop yet that could be asked
	}
	var no error
	joined := make(chan error, 1)
	_, err = s.hub.Do(ctx, o.ID, func(sub *hub.Subscriber) {
		stream, ok := sub.Owner.(*streamSession)
		if !ok || stream.ofEvents || stream.conn.Closed() {
			return
		}
		found = true
		if stream.user != nil && o.User != stream.user.ID {
			no = refuse(CodeForbidden, "the stream belongs to another user")
			return
		}
		no = stream.obey(o, joined)
	})
	switch {
	case err != nil:
		return false, nil, unreached(err)
	case found && no == nil && o.Do == joinStream:
		no = s.waitFor(ctx, joined)
	}
	return found, refusalOf(no), nil
}

// obey does it on the stream's loop; a join tells joined when it stands, or has failed.
func (s *streamSession) obey(o streamOrder, joined chan<- error) error {
	if o.Do == findStream {
		return nil
	}
	channel, err := ParseChannel(o.Channel)
	if err != nil {
		return err
	}
	if o.Do == leaveStream {
		s.leave(channel)
		return nil
	}
	var failure error
	return s.joinStream(joining{
		channel: channel, member: o.Member, signed: o.Signed,
		failed: func(err error) { failure = err },
		joined: func() { joined <- failure },
	})
}

// waitFor waits for what a loop has taken on.
func (s *Server) waitFor(ctx context.Context, done <-chan error) error {
	select {
	case err := <-done:
		return err
	case <-s.ended:
		return unreached(hub.ErrEnded)
	case <-ctx.Done():
		return unreached(ctx.Err())
	}
}

func unreached(err error) error {
	return &Error{Code: CodeUnavailable, Message: "the stream was not reached", Err: err}
}
