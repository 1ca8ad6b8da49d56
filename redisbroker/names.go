package redisbroker

import (
	"strconv"
	"strings"

	"github.com/herald-events/herald"
)

// eventTag stands for the event stream, which has no name: Redis ignores an empty hash tag. No channel has a colon.
const eventTag = ":events"

// names are the keys and channels under a prefix. What is between braces is the hash tag.
type names struct {
	prefix   string // "herald:"
	channels string // "herald:channel:{"; pub/sub knows no databases, so another than 0 stands in it
	control  string
}

func newNames(prefix string, db int) names {
	n := names{prefix: prefix + ":"}
	pubsub := n.prefix
	if db != 0 {
		pubsub += "db" + strconv.Itoa(db) + ":"
	}
	n.channels, n.control = pubsub+"channel:{", pubsub
	return n
}

func tag(stream string) string {
	if stream == herald.EventStream {
		return eventTag
	}
	return stream
}

func (n names) key(kind, tag string) string { return n.prefix + kind + ":{" + tag + "}" }

// channel is where a stream's publications are told.
func (n names) channel(stream string) string { return n.channels + tag(stream) + "}" }

// stream is the stream that a channel is for.
func (n names) stream(channel string) (stream string, ok bool) {
	rest, ok := strings.CutPrefix(channel, n.channels)
	if !ok || rest == "" {
		return "", false
	}
	if rest = rest[:len(rest)-1]; rest == eventTag {
		return herald.EventStream, true
	}
	return rest, true
}

// questions is the channel of all nodes; answers that of one.
func (n names) questions() string          { return n.control + "ask:{:ask}" }
func (n names) answers(node string) string { return n.control + "node:{" + node + "}" }
func (n names) probe(node, tag string) string {
	return n.control + "probe:" + node + ":{" + tag + "}"
}

func (n names) history(stream string) []string {
	t := tag(stream)
	return []string{n.key("meta", t), n.key("stream", t), n.key("ids", t)}
}

// room is the keys of a channel's members; the last holds those that the life of a node has there.
func (n names) room(channel, life string) []string {
	t := tag(channel)
	return []string{
		n.key("room", t), n.key("members", t), n.key("info", t), n.key("holders", t), n.key("signers", t),
		n.key("held", t) + ":" + life,
	}
}

// nodes is the set of all lives; the others are of one life.
func (n names) nodes() string { return n.key("nodes", ":nodes") }

// shared is the settings that all who publish have to agree on.
func (n names) shared() string { return n.key("shared", ":shared") }

func (n names) life(life string) []string {
	return []string{n.key("lease", life), n.key("ended", life), n.key("rooms", life)}
}
