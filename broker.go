package herald

import (
	"context"
	"time"
)

// Broker connects the nodes of one application: what one publishes reaches the connections of all. It
// keeps what they share, the histories and who is present. [Config].Broker takes one; without it a server
// is a node of its own and keeps both in memory.
//
// The methods are safe for concurrent use and end with their context. One that the broker cannot serve now
// fails with [CodeUnavailable], at once where it knows and within seconds where it does not.
type Broker interface {
	// Run serves a node until ctx ends. It is called once, and returns an error only where it could not begin.
	// What goes wrong later it mends by itself. Before it has begun the broker is away.
	Run(ctx context.Context, node Node) error
	// Check says why the broker cannot serve now; nil: it can.
	Check() error

	Streams
	Presences
	Cluster
}

// Streams carry what is published. A stream is what is said on one channel, and has its name; the domain
// events are the stream [EventStream].
type Streams interface {
	// Publish hands publications over, in order, and tells where each of them that is kept stands. The
	// nodes are told through [Node.Deliver]: of kept ones all nodes in the one order of the stream, of
	// others the publishing node before Publish returns, and every other in the order of this one's calls.
	// An error says that some may have been published and some not.
	Publish(ctx context.Context, publications ...Publication) ([]Receipt, error)
	// Subscribe has the node told of everything that is published on a stream from its return on. With
	// a retention it tells where the stream stands, and begins one where there is none. The node
	// subscribes once, until it unsubscribes.
	Subscribe(ctx context.Context, stream string, keep Retention) (Position, error)
	// Unsubscribe ends it, in its own time.
	Unsubscribe(stream string)
	// Read returns what is kept of a stream, oldest first. Where the publications are large a page may have fewer
	// than are there and wanted, but it has two of them: what follows its last is read behind that, and it
	// reaches the end where its last is its newest.
	Read(ctx context.Context, stream string, keep Retention, r Range) (Page, error)
	// Locate finds a publication of the event stream by its id; found is false where it is not, or no
	// longer, kept.
	Locate(ctx context.Context, keep Retention, id string) (at Position, found bool, err error)
}

// EventStream is the stream of the domain events. It is no channel's name.
const EventStream = ""

// Publication is something that is about to be said on a stream.
type Publication struct {
	Stream string
	// Body is what the nodes make of it; for the broker it is bytes.
	Body []byte
	// Keep is the stream's retention; the zero value: it has no history.
	Keep Retention
	// ID, of a domain event, is published once: a second publication of it is a duplicate.
	ID string
}

// Receipt tells what became of a publication.
type Receipt struct {
	Position  Position // zero: it is not kept
	Duplicate bool     // its id was known, and nothing was published
}

// Position is a place in a stream's history: offset counts from 1 within an epoch, which is one life of
// the stream; 0 is before the first.
type Position struct {
	Epoch  string `json:"epoch"`
	Offset uint64 `json:"offset"`
}

// Retention bounds a history: its last Count publications, each for Age. The zero value keeps nothing.
type Retention struct {
	Count int
	Age   time.Duration
}

// Range is a part of a history.
type Range struct {
	// After is the offset before the first that is wanted.
	After uint64
	// Last, where it is not 0, asks for so many of the newest instead.
	Last int
	// Limit is how many are read at most.
	Limit int
}

// Page is a part of a history, and where the stream stood when it was read.
type Page struct {
	Newest  Position
	Oldest  uint64 // the offset of the oldest that is kept; Newest.Offset+1: none is
	Entries []Entry
}

// Entry is one publication on its way to a node, or in a history.
type Entry struct {
	Offset uint64    // 0: it is not kept
	At     time.Time // when it was published; zero where it is not kept
	Body   []byte
}

// Presences is who is where on presence channels, over all nodes. A member is there while any node says so.
// Changes of a channel are numbered by its version, which is part of an epoch, and are told through
// [Node.PresenceChanged] to the nodes that are subscribed to the channel, in order.
type Presences interface {
	// Apply tells that members of this node have come, changed or gone, in order, and returns the version
	// that all of it is part of. A change that is refused stands in refused by its index, and changes
	// nothing.
	Apply(ctx context.Context, channel string, changes []NodeChange) (applied Applied, err error)
	// Replace makes these the members of this node on a channel, whatever was known of them before.
	Replace(ctx context.Context, channel string, members []NodeMember) error
	// Members lists a channel's members over all nodes.
	Members(ctx context.Context, channel string) (Room, error)
}

// NodeMember is a member as one node has it.
type NodeMember struct {
	Member
	// Signed says that a backend vouches for a connection of it on this node.
	Signed bool
}

// NodeChange is a member that comes or changes, or that goes.
type NodeChange struct {
	NodeMember
	Gone bool
}

// Applied is what became of changes.
type Applied struct {
	Version RoomVersion
	Refused map[int]error // by index; each has [CodeBadMember]
}

// RoomVersion numbers what has happened to a channel's members within an epoch, one life of the record.
type RoomVersion struct {
	Epoch  string
	Number uint64
}

// Room is the members of a channel at one time.
type Room struct {
	Version RoomVersion
	Members []Member // in the order in which they came
}

// PresenceChange is one change of a channel's members.
type PresenceChange struct {
	Channel string
	Version RoomVersion
	Member  Member
	Kind    PresenceKind
}

// PresenceKind is what has happened to a member.
type PresenceKind uint8

// The kinds of changes.
const (
	MemberAdded   PresenceKind = iota + 1 // it is on its first node
	MemberUpdated                         // its info is another
	MemberRemoved                         // it has left its last node
)

// Cluster reaches the other nodes.
type Cluster interface {
	// Ask puts a question to every other node and calls answer with what each says, one after the other,
	// until it has enough. Where a node that may be alive has not answered in time, and the others were not
	// enough, it fails with [CodeUnavailable] once answer was called for those: what was not found may be there,
	// and what was counted is too little.
	//
	// A node that has died may be alive for all that is known until its lease has run out. So one that was silent is
	// left out of the questions of the next seconds, without an error, unless it is heard or answers at once.
	Ask(ctx context.Context, question []byte, answer func([]byte) (enough bool)) error
}

// Node is what a broker tells its node. The methods are safe for concurrent use; those but Answer wait
// for room in the node at most.
type Node interface {
	// Deliver hands over what was published on a stream, in order. The epoch is empty for what is not kept.
	Deliver(stream, epoch string, entries []Entry)
	// PresenceChanged tells of changes in their order.
	PresenceChanged(changes []PresenceChange)
	// Restored says that the broker was away, and that the node's subscriptions stand again: it may have
	// missed something, and what it had said of its members may be forgotten.
	Restored()
	// Answer answers another node's question.
	Answer(ctx context.Context, question []byte) []byte
	// Shared tells the settings that whoever publishes has to know.
	Shared() Shared
}

// Shared are the settings that all who publish have to agree on.
type Shared struct {
	History      []HistoryRule `json:"history,omitempty"` // of the channels
	EventHistory Retention     `json:"eventHistory"`      // the zero value: none
}
