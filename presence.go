package herald

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/herald-events/herald/internal/wire"
)

// Member is who a connection is on a presence channel: one member is one ID, however many connections it has.
type Member struct {
	// ID is 1 to 200 characters, none of them a control character.
	ID string `json:"id"`
	// Info is any JSON that the channel's other members may see, up to 8 KiB; nil: nothing.
	Info json.RawMessage `json:"info,omitempty"`
}

// maxPersonID bounds the ids of users and of members, in characters; they travel with every
// member_added. It is the length of a channel's name, so that most ids fit "private-user.{sub}".
const maxPersonID = 200

// maxMemberInfo bounds what a member says of itself, in bytes: it is kept while the member is there,
// and everyone who joins is sent that of all.
const maxMemberInfo = 8 << 10

// parseMember reads {"id","info"?} from the text that was signed, or from what an authorizer
// answered. Other fields are ignored.
func parseMember(data []byte) (Member, error) {
	fields, err := wire.Object(data)
	if err != nil {
		return Member{}, &Error{Code: CodeBadMember, Message: "a member is a JSON object with an id", Err: err}
	}
	var m Member
	for _, f := range fields {
		switch f.Name {
		case "id":
			if m.ID, err = readText(f.Value); err != nil {
				return Member{}, refuse(CodeBadMember, "a member's id %v", err)
			}
		case "info":
			m.Info = f.Value
		}
	}
	return m.checked()
}

// parseClientMember reads the member that a client names itself: {id, info} is one as it stands, of
// {id, …rest} the rest is the info.
func parseClientMember(data []byte) (Member, error) {
	m, err := parseMember(data)
	if err != nil {
		return Member{}, err
	}
	fields, err := wire.Object(data)
	if err != nil {
		return Member{}, err
	}
	if len(fields) == 1 || len(fields) == 2 && m.Info != nil {
		return m, nil
	}
	if m.Info, err = objectWithout("id", fields); err != nil {
		return Member{}, err
	}
	return m.checked()
}

// objectWithout builds the object of all fields but one, compact and in their order.
func objectWithout(name string, fields []wire.Field) (json.RawMessage, error) {
	b := []byte{'{'}
	for _, f := range fields {
		if f.Name == name {
			continue
		}
		key, err := json.Marshal(f.Name)
		if err != nil {
			return nil, err
		}
		value, err := wire.Compact(f.Value)
		if err != nil {
			return nil, err
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(append(append(b, key...), ':'), value...)
	}
	return append(b, '}'), nil
}

// checked returns the member with its info compact and its own, whatever becomes of the buffer
// that it was read from.
func (m Member) checked() (Member, error) {
	if err := checkPersonID(m.ID); err != nil {
		return Member{}, refuse(CodeBadMember, "a member's id %v", err)
	}
	if len(m.Info) == 0 {
		return Member{ID: m.ID}, nil
	}
	info, err := wire.Compact(m.Info)
	if err != nil {
		return Member{}, &Error{Code: CodeBadMember, Message: "a member's info is not JSON that Herald takes", Err: err}
	}
	if len(info) > maxMemberInfo {
		return Member{}, refuse(CodeBadMember, "a member's info has %d bytes; at most %d are allowed", len(info), maxMemberInfo)
	}
	return Member{ID: m.ID, Info: bytes.Clone(info)}, nil
}

// checkPersonID checks the id of a user or a member. Its errors go on after "the id".
func checkPersonID(id string) error {
	if id == "" {
		return errors.New("is missing or empty")
	}
	return checkShortText(id, maxPersonID)
}

// checkShortText checks a text that is kept and shown: Postgres takes neither NUL nor what is not UTF-8, and no name of
// anything has control characters.
func checkShortText(s string, limit int) error {
	switch {
	case !utf8.ValidString(s):
		return errors.New("is not UTF-8")
	case utf8.RuneCountInString(s) > limit:
		return fmt.Errorf("is over %d characters", limit)
	case strings.ContainsFunc(s, unicode.IsControl):
		return errors.New("has a control character")
	}
	return nil
}

// readText reads a JSON value that must be text: encoding/json alone would take null for empty text.
func readText(raw json.RawMessage) (string, error) {
	var text string
	if len(raw) == 0 || raw[0] != '"' {
		return "", errors.New("is not text")
	}
	if err := json.Unmarshal(raw, &text); err != nil {
		return "", errors.New("is not text")
	}
	return text, nil
}
