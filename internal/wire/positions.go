package wire

import (
	"errors"
	"strconv"
	"strings"
)

// StreamGap is the data of a stream's gap block: what was asked for, and what there is. The channel is empty
// on a stream of domain events.
type StreamGap struct {
	Channel                   string
	Requested, Oldest, Newest string
}

// Encode returns the JSON text.
func (g StreamGap) Encode() []byte {
	o := object{'{'}
	if g.Channel != "" {
		o = o.text("channel", g.Channel)
	}
	return o.text("requested", g.Requested).text("oldest", g.Oldest).text("newest", g.Newest).done()
}

// String is the position as a query has it: <epoch>-<offset>.
func (p Position) String() string { return p.Epoch + "-" + strconv.FormatUint(p.Offset, 10) }

// ErrPosition says that a text is no position.
var ErrPosition = errors.New("is no position such as k3v9-41: an epoch, a hyphen and an offset")

// ParsePosition reads what [Position.String] writes.
func ParsePosition(s string) (Position, error) {
	epoch, digits, found := cutLast(s, "-")
	if !found || epoch == "" {
		return Position{}, ErrPosition
	}
	offset, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return Position{}, ErrPosition
	}
	return Position{epoch, offset}, nil
}

// ChannelPosition is a position in a channel's history.
type ChannelPosition struct {
	Channel string
	Position
}

// PositionSize is what a channel's position takes in an id of a stream beside the channel's name, at most: an
// epoch has 12 characters.
const PositionSize = len(":/") + 12 + len("-") + 20

// MaxStreamPosition bounds the id of a channel stream in bytes: clients send it back in a header.
const MaxStreamPosition = 4 << 10

// FormatPositions writes positions as one id of a channel stream, "orders:k3v9-41/news:x-7"; empty where
// that is over [MaxStreamPosition].
func FormatPositions(positions []ChannelPosition) string {
	var b strings.Builder
	for i, p := range positions {
		if i > 0 {
			b.WriteByte('/')
		}
		b.WriteString(p.Channel)
		b.WriteByte(':')
		b.WriteString(p.String())
	}
	if b.Len() > MaxStreamPosition {
		return ""
	}
	return b.String()
}

// ParsePositions reads what [FormatPositions] writes. It is not strict: what it cannot read is left out, and
// is then a position that nobody knows.
func ParsePositions(id string) []ChannelPosition {
	if id == "" || len(id) > MaxStreamPosition {
		return nil
	}
	var positions []ChannelPosition
	for part := range strings.SplitSeq(id, "/") {
		channel, rest, found := strings.Cut(part, ":")
		at, err := ParsePosition(rest)
		if found && err == nil {
			positions = append(positions, ChannelPosition{channel, at})
		}
	}
	return positions
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
