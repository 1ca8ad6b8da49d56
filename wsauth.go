package herald

import (
	"cmp"
	"context"
	"encoding/json"
	"mime"
	"net/http"
	"net/url"

	"github.com/herald-events/herald/internal/wire"
)

// maxAuthBody bounds the body of POST /ws/auth in bytes: two names of 200, and room for what else a
// client's library puts there.
const maxAuthBody = 64 << 10

// channelToken answers POST /ws/auth; on a public channel auth is null.
type channelToken struct {
	Auth        *string `json:"auth"`
	ChannelData string  `json:"channel_data,omitempty"`
}

// serveChannelAuth is POST /ws/auth, and the preflight for it.
func (s *Server) serveChannelAuth(w http.ResponseWriter, r *http.Request) {
	if s.access.Load().cors(w, r) {
		return
	}
	token, err := s.channelToken(w, r)
	if err != nil {
		if asError(err).Code == CodeInternal {
			s.log.Error("channel token not signed", "err", err)
		}
		writePlainError(w, err)
		return
	}
	writeJSON(w, http.StatusOK, token)
}

// channelToken signs for whom the authorizer lets in.
func (s *Server) channelToken(w http.ResponseWriter, r *http.Request) (channelToken, error) {
	a := s.access.Load()
	if !a.originAllowed(r) {
		return channelToken{}, refuse(CodeForbidden, "this origin is not allowed")
	}
	asked, err := readChannelAuth(w, r)
	if err != nil {
		return channelToken{}, err
	}
	if asked.channel.Type() == Public {
		return channelToken{}, nil
	}
	if len(a.tokens) == 0 {
		return channelToken{}, refuse(CodeInternal, "Server configuration error: authSecret required for private channels")
	}
	user, err := a.channelUser(r)
	if err != nil {
		return channelToken{}, err
	}
	access, err := s.admit(r.Context(), r, user, asked.channel, asked.socketID, nil)
	if err != nil {
		return channelToken{}, err
	}
	return a.tokens.issue(asked, access.Member)
}

// issue signs; on a presence channel there is a member.
func (k channelKeys) issue(asked channelAuth, m *Member) (channelToken, error) {
	var data []byte
	if m != nil {
		var err error
		if data, err = json.Marshal(m); err != nil {
			return channelToken{}, err
		}
	}
	auth := k.sign(asked.socketID, asked.channel, string(data), m != nil)
	return channelToken{Auth: &auth, ChannelData: string(data)}, nil
}

// admission is the yes to somebody who wants to join a channel.
type admission struct {
	Access
	vouched bool // the authorizer or the user's token says who the member is, and not the request alone
}

// admit asks the authorizer whether the connection id may join ch, and settles who joins a presence
// channel: whom the authorizer names, else own, whom the request names, else the user. The error is
// a refusal to be told; what is wrong with the authorizer is logged here and told to nobody.
func (s *Server) admit(ctx context.Context, r *http.Request, user *User, ch Channel, id string, own *Member) (admission, error) {
	a := s.access.Load()
	if ch.Type() == Public {
		return admission{Access: Access{Authorized: true}}, nil
	}
	if len(a.tokens) == 0 {
		return admission{}, refuse(CodeForbidden, "private channels need an auth secret, and none is configured")
	}
	access, err := authorize(ctx, a.authorizer, AccessRequest{
		SocketID: id, Channel: ch, User: user, IP: a.clientIP(r), Request: r,
	})
	vouched := access.Member != nil || own == nil || user != nil && user.ID == own.ID
	if err == nil && access.Authorized {
		access.Member, err = memberOf(ch, cmp.Or(access.Member, own, user.member()))
	}
	if err != nil {
		if ctx.Err() == nil { // who hung up is no fault of the authorizer
			s.log.Warn("authorizer gave no usable answer", "channel", ch.String(), "err", err)
		}
		return admission{}, refuse(CodeForbidden, unauthorized)
	}
	if !access.Authorized {
		return admission{}, refuse(CodeForbidden, "%s", access.Reason)
	}
	if ch.Type() == Presence && access.Member == nil {
		return admission{}, refuse(CodeForbidden, unauthorized)
	}
	return admission{access, vouched}, nil
}

// memberOf is who joins ch: a private channel has no members.
func memberOf(ch Channel, m *Member) (*Member, error) {
	if ch.Type() != Presence || m == nil {
		return nil, nil
	}
	checked, err := m.checked()
	return &checked, err
}

// channelAuth is what POST /ws/auth asks for.
type channelAuth struct {
	socketID string
	channel  Channel
}

func readChannelAuth(w http.ResponseWriter, r *http.Request) (channelAuth, error) {
	body, err := readBody(w, r, maxAuthBody)
	if err != nil {
		return channelAuth{}, invalid(Detail{"body", "is over 64 KiB, or cut off"})
	}
	return decodeChannelAuth(r.Header.Get("Content-Type"), body)
}

// decodeChannelAuth reads a form, or JSON under whatever name it comes, and names all that is wrong.
func decodeChannelAuth(contentType string, body []byte) (channelAuth, error) {
	read := textsOfJSON
	if media, _, err := mime.ParseMediaType(contentType); err == nil && media == "application/x-www-form-urlencoded" {
		read = textsOfForm
	}
	texts, err := read(body)
	if err != nil {
		return channelAuth{}, err
	}
	var wrong []Detail
	asked := channelAuth{socketID: texts["socketId"]}
	if !validSocketID(asked.socketID) {
		wrong = append(wrong, Detail{"socketId", "must be a socket id such as 137204873.482911"})
	}
	if asked.channel, err = ParseChannel(texts["channel"]); err != nil {
		wrong = append(wrong, Detail{"channel", err.Error()})
	}
	if len(wrong) > 0 {
		return channelAuth{}, invalid(wrong...)
	}
	return asked, nil
}

// textsOfJSON returns the fields that are texts, which is all that can be right here.
func textsOfJSON(body []byte) (map[string]string, error) {
	fields, err := wire.Object(body)
	if err != nil {
		return nil, invalid(Detail{"body", err.Error()})
	}
	texts := map[string]string{}
	for _, f := range fields {
		if text, err := readText(f.Value); err == nil {
			texts[f.Name] = text
		}
	}
	return texts, nil
}

// textsOfForm names the fields of a form as JSON does. One that stands twice is none: two readers
// might each believe another of them.
func textsOfForm(body []byte) (map[string]string, error) {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, invalid(Detail{"body", "is not a form"})
	}
	texts := map[string]string{}
	for path, name := range map[string]string{"socketId": "socket_id", "channel": "channel_name"} {
		if len(form[name]) == 1 {
			texts[path] = form.Get(name)
		}
	}
	return texts, nil
}

func invalid(details ...Detail) error {
	return &Error{Code: CodeBadRequest, Message: "Validation failed", Details: details}
}

// writePlainError answers {"error","details"?}, as /ws/auth and the calls of channel streams do.
func writePlainError(w http.ResponseWriter, err error) {
	e := asError(err)
	status := onWire[e.Code].Status
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer") // RFC 9110, section 11.6.1
	}
	writeJSON(w, status, struct {
		Error   string   `json:"error"`
		Details []Detail `json:"details,omitempty"`
	}{e.Message, e.Details})
}

// writeJSON answers with v, which nothing on the way may keep.
func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil { // a defect of this package: all that it answers encodes
		status, body = http.StatusInternalServerError, []byte(`{"error":"internal error"}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body) // who has left gets no answer
}
