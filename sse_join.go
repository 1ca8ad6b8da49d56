package herald

import (
	"encoding/json"
	"net/http"

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
		return s.orderStream(r.Context(), call.order(leaveStream, user))
	})
}

// order is the call as its stream's node gets it.
func (c streamCall) order(do streamVerb, user *User) streamOrder {
	o := streamOrder{Do: do, ID: c.connectionID, Channel: c.channel.String()}
	if user != nil {
		o.User = user.ID
	}
	return o
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
	if err := s.orderStream(r.Context(), call.order(findStream, user)); err != nil {
		return err // before the authorizer is asked for a stream that is not the caller's
	}
	j, err := s.admitStream(r, user, call.channel.String(), call.connectionID, call.member)
	if err != nil {
		return err
	}
	o := call.order(joinStream, user)
	o.Member, o.Signed = j.member, j.signed
	return s.orderStream(r.Context(), o)
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
