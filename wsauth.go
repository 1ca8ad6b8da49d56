package herald

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
	if err := s.checkOrigin(a, r); err != nil {
		return channelToken{}, err
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
		return admission{}, refuse(CodeForbidden, noAuthSecret)
	}
	access, err := authorize(ctx, a.authorizer, AccessRequest{
		SocketID: id, Channel: ch, User: user, IP: a.clientIP(r), Request: r,
	})
	vouched := access.Member != nil || own == nil || user != nil && user.ID == own.ID
	if err == nil && access.Authorized {
		access.Member, err = memberOf(ch, cmp.Or(access.Member, own, user.member()))
	}
	if err != nil {
		s.logAuthorizer(ctx, ch, err)
		return admission{}, refuse(CodeForbidden, unauthorized)
	}
	if !access.Authorized {
		return admission{}, refuse(CodeForbidden, "%s", access.Reason)
	}
	if ch.Type() == Presence && access.Member == nil {
		s.log.Warn("authorizer said yes to nobody: it names no member, and the request has no user", "channel", ch.String())
		return admission{}, refuse(CodeForbidden, unauthorized)
	}
	return admission{access, vouched}, nil
}

// logAuthorizer logs why an authorizer gave no usable answer.
func (s *Server) logAuthorizer(ctx context.Context, ch Channel, err error) {
	if p, ok := errors.AsType[*authorizerPanic](err); ok {
		s.log.Error("authorizer panicked", "channel", ch.String(), "panic", fmt.Sprint(p.value), "stack", string(p.stack))
		return
	}
	if ctx.Err() == nil { // who hung up is no fault of the authorizer
		s.log.Warn("authorizer gave no usable answer", "channel", ch.String(), "err", err)
	}
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
// What begins as an object does is JSON also under a form's name, which curl -d gives it.
func decodeChannelAuth(contentType string, body []byte) (channelAuth, error) {
	read := textsOfJSON
	media, _, err := mime.ParseMediaType(contentType)
	if err == nil && media == "application/x-www-form-urlencoded" && !bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{")) {
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
