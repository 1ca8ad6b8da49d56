package herald

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/herald-events/herald/internal/hub"
	"github.com/herald-events/herald/internal/wire"
)

// maxJoinBody bounds the body of POST /events/subscribe in bytes; the member's info is the most of it.
const maxJoinBody = 64 << 10

// streamCall is the body of POST /events/subscribe and /events/unsubscribe.
type streamCall struct {
	connectionID string
	channel      Channel
	member       *Member // whom the client says it is; nil: nobody
}

// serveStreamSubscribe is POST /events/subscribe.
func (s *Server) serveStreamSubscribe(w http.ResponseWriter, r *http.Request) {
	s.serveStreamCall(w, r, s.subscribeStream)
}

// serveStreamUnsubscribe is POST /events/unsubscribe.
func (s *Server) serveStreamUnsubscribe(w http.ResponseWriter, r *http.Request) {
	s.serveStreamCall(w, r, func(r *http.Request, user *User, call streamCall) error {
		return s.onStream(r.Context(), call.connectionID, user, func(o *streamSession) error {
			o.leave(call.channel)
			return nil
		})
	})
}

func (s *Server) serveStreamCall(w http.ResponseWriter, r *http.Request, do func(*http.Request, *User, streamCall) error) {
	a := s.access.Load()
	if a.cors(w, r) {
		return
	}
	call, err := readStreamCall(w, r)
	if err == nil {
		err = s.checkOrigin(a, r)
	}
	var user *User
	if err == nil {
		user, err = a.channelUser(r)
	}
	if err == nil {
		err = do(r, user, call)
	}
	if err != nil {
		writePlainError(w, err)
		return
	}
	writeJSON(w, http.StatusOK, struct {
		Success bool `json:"success"`
	}{true})
}

// subscribeStream joins, and answers when the subscription stands: what is said after the answer
// reaches the stream.
func (s *Server) subscribeStream(r *http.Request, user *User, call streamCall) error {
	ctx := r.Context()
	owned := func(*streamSession) error { return nil }
	if err := s.onStream(ctx, call.connectionID, user, owned); err != nil {
		return err // before the authorizer is asked for a stream that is not the caller's
	}
	j, err := s.admitStream(r, user, call.channel.String(), call.connectionID, call.member)
	if err != nil {
		return err
	}
	joined := make(chan struct{}, 1)
	var failure error // written before joined is sent
	j.joined = func() { joined <- struct{}{} }
	j.failed = func(err error) { failure = err }
	err = s.onStream(ctx, call.connectionID, user, func(o *streamSession) error { return o.joinStream(j) })
	if err != nil {
		return err
	}
	if err := s.waitFor(ctx, joined); err != nil {
		return err
	}
	return failure
}

// waitFor waits for what a loop has taken on.
func (s *Server) waitFor(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-s.ended:
		return unreached(hub.ErrEnded)
	case <-ctx.Done():
		return unreached(ctx.Err())
	}
}

func readStreamCall(w http.ResponseWriter, r *http.Request) (streamCall, error) {
	body, err := readBody(w, r, maxJoinBody)
	if err != nil {
		return streamCall{}, invalid(Detail{"body", "is over 64 KiB, or cut off"})
	}
	return decodeStreamCall(body)
}

// decodeStreamCall names all that is wrong.
func decodeStreamCall(body []byte) (streamCall, error) {
	fields, err := wire.Object(body)
	if err != nil {
		return streamCall{}, invalid(Detail{"body", err.Error()})
	}
	var call streamCall
	var wrong []Detail
	given := map[string]json.RawMessage{}
	for _, f := range fields {
		given[f.Name] = f.Value
	}
	// One that no stream could have is as unknown as one that no stream has.
	if call.connectionID, err = readText(given["connectionId"]); err != nil || call.connectionID == "" {
		wrong = append(wrong, Detail{"connectionId", "must be the connectionId that the stream began with"})
	}
	channel, err := readText(given["channel"])
	if err == nil {
		call.channel, err = ParseChannel(channel)
	}
	if err != nil {
		wrong = append(wrong, Detail{"channel", err.Error()})
	}
	if m, ok := given["member"]; ok && string(m) != "null" {
		member, err := parseClientMember(m)
		if err != nil {
			wrong = append(wrong, Detail{"member", err.Error()})
		}
		call.member = &member
	}
	if len(wrong) > 0 {
		return streamCall{}, invalid(wrong...)
	}
	return call, nil
}
