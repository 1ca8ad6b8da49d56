package herald

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The lengths of names, in bytes for channels (they are ASCII) and in characters for events.
const (
	maxChannelName = 200
	maxEventName   = 200
)

// ChannelType says who may join a channel; the channel's name decides it.
type ChannelType string

// The types of channels.
const (
	Public   ChannelType = "public"
	Private  ChannelType = "private"
	Presence ChannelType = "presence"
)

// Channel is a channel's checked name: one that did not come from [ParseChannel] is empty.
type Channel struct{ name string }

// ParseChannel checks a channel's name: 1 to 200 of "A-Z a-z 0-9 _ - = @ , . ;".
func ParseChannel(name string) (Channel, error) {
	if name == "" {
		return Channel{}, refuse(CodeBadChannel, "a channel's name is empty")
	}
	if len(name) > maxChannelName {
		return Channel{}, refuse(CodeBadChannel, "a channel's name is over %d characters", maxChannelName)
	}
	for _, r := range name {
		if r >= utf8.RuneSelf || !isChannelByte(byte(r)) {
			return Channel{}, refuse(CodeBadChannel, "a channel's name has %q; allowed are A-Z a-z 0-9 _ - = @ , . ;", r)
		}
	}
	return Channel{name}, nil
}

func isChannelByte(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || strings.IndexByte("_-=@,.;", b) >= 0
}

func (c Channel) String() string { return c.name }

// Type tells who may join the channel.
func (c Channel) Type() ChannelType {
	switch {
	case strings.HasPrefix(c.name, "private-"):
		return Private
	case strings.HasPrefix(c.name, "presence-"):
		return Presence
	}
	return Public
}

// checkEventName checks the name of a channel message: 1 to 200 characters, no control characters.
func checkEventName(name string) error {
	switch {
	case name == "":
		return refuse(CodeBadMessage, "an event's name is empty")
	case !utf8.ValidString(name):
		return refuse(CodeBadMessage, "an event's name is not UTF-8")
	case utf8.RuneCountInString(name) > maxEventName:
		return refuse(CodeBadMessage, "an event's name is over %d characters", maxEventName)
	case strings.ContainsFunc(name, unicode.IsControl):
		return refuse(CodeBadMessage, "an event's name has a control character")
	}
	return nil
}

// checkClientEventName also keeps clients from speaking in the server's name.
func checkClientEventName(name string) error {
	if err := checkEventName(name); err != nil {
		return err
	}
	reserved := slices.Contains([]string{"connected", "member_added", "member_removed", "gap"}, name) ||
		strings.HasPrefix(name, "subscription_") || strings.HasPrefix(name, "pusher")
	if reserved {
		return refuse(CodeForbidden, "the event name %q is the server's own", name)
	}
	return nil
}
