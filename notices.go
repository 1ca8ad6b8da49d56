package herald

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"hash/maphash"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/herald-events/herald/internal/pattern"
	"github.com/herald-events/herald/internal/socket"
)

const (
	// noticeGrace is how long a channel or a member that has gone may take to come back unnoticed: a page that is
	// loaded again takes a second or two.
	noticeGrace = 3 * time.Second
	// noticeLag is how long the other nodes leave a notice to the one that has caused it, at least and at most: each
	// waits for another time, so that where that one has died, few of them publish it.
	minNoticeLag = time.Second
	maxNoticeLag = 3 * time.Second
	// unsureNoticeLag is for a notice of which the others may have told under an id that this node does not know: it
	// is later than all of these.
	unsureNoticeLag = 5 * time.Second

	// noticeLanes is how many notices are published at a time, so that they share the store's commits.
	noticeLanes = 8
	// maxNotices is how many may wait, about 20 MB: as many connections may come and go at once.
	maxNotices = 100_000
)

// noticeTypes are the types of all notices.
var noticeTypes = []string{
	ChannelOccupied{}.EventType(), ChannelVacated{}.EventType(),
	MemberJoined{}.EventType(), MemberLeft{}.EventType(),
	ConnectionOpened{}.EventType(), ConnectionClosed{}.EventType(),
}

// notices publishes what Herald itself has to tell. Those of channels and of members are about all nodes together, and
// each node would publish them, under the same ids: so they are published once, whichever nodes are left to do it. A
// nil one publishes nothing.
type notices struct {
	// Immutable after newNotices.
	server   *Server
	on       map[string]bool // the types that are published
	channels *roster         // nil: none of them are published
	members  *roster
	lanes    []*noticeLane
	seed     maphash.Seed
	lag      time.Duration // of this node

	ending  chan struct{} // closed by finish
	settled chan struct{} // closed when everything is published, or run has ended
}

func newNotices(s *Server) *notices {
	n := &notices{
		server: s, on: map[string]bool{}, seed: maphash.MakeSeed(),
		lag:    minNoticeLag + rand.N(maxNoticeLag-minNoticeLag),
		ending: make(chan struct{}), settled: make(chan struct{}),
	}
	wanted := parseAll(s.config.Notices)
	for _, t := range noticeTypes {
		n.on[t] = slices.ContainsFunc(wanted, func(p pattern.Pattern) bool { return p.Match(t) })
	}
	if len(wanted) == 0 {
		return nil
	}
	for range noticeLanes {
		n.lanes = append(n.lanes, newNoticeLane(s))
	}
	if n.isOn(ChannelOccupied{}, ChannelVacated{}) {
		n.channels = newRoster(n, channelsRoom, channelNames{s.hub})
		s.hub.WhenTurned(n.channels.nameTurned)
	}
	if n.isOn(MemberJoined{}, MemberLeft{}) {
		n.members = newRoster(n, membersRoom, memberNames{s.rooms})
	}
	return n
}

func (n *notices) isOn(kinds ...Payload) bool {
	return slices.ContainsFunc(kinds, func(p Payload) bool { return n.on[p.EventType()] })
}

// rosters are those that there are.
func (n *notices) rosters() []*roster {
	return slices.DeleteFunc([]*roster{n.channels, n.members}, func(r *roster) bool { return r == nil })
}

// run publishes until ctx ends, or until everything is published after finish.
func (n *notices) run(ctx context.Context) {
	defer close(n.settled)
	var rosters, lanes sync.WaitGroup
	for _, l := range n.lanes {
		lanes.Go(func() { l.run(ctx) })
	}
	for _, r := range n.rosters() {
		rosters.Go(func() { r.run(ctx) })
	}
	select {
	case <-n.ending:
	case <-ctx.Done():
	}
	rosters.Wait()
	for _, l := range n.lanes {
		l.finish()
	}
	lanes.Wait()
}

// finish says that no connection is left, and returns what is closed when everything is published. It is called once.
func (n *notices) finish() <-chan struct{} {
	close(n.ending)
	return n.settled
}

// opened tells of a new connection.
func (n *notices) opened(s *session) {
	if n != nil && n.isOn(ConnectionOpened{}) {
		n.ofConnection(s, ConnectionOpened{s.id, transport(s.conn.Dialect()), s.userID()})
	}
}

// closed tells of the end of a connection.
func (n *notices) closed(s *session, why socket.Reason) {
	if n != nil && n.isOn(ConnectionClosed{}) {
		n.ofConnection(s, ConnectionClosed{s.id, transport(s.conn.Dialect()), s.userID(), int(why.Code)})
	}
}

func (n *notices) ofConnection(s *session, p Payload) {
	ip := ""
	if s.ip.IsValid() {
		ip = s.ip.String()
	}
	e := Event{Type: p.EventType(), UserID: s.userID(), IP: ip, Payload: p}
	n.put(s.id, waitingNotice{event: e}, 0)
}

// memberTurned says that a member has come to this node, or has gone from it.
func (n *notices) memberTurned(channel, memberID string) {
	if n != nil && n.members != nil {
		n.members.nameTurned(memberName(channel, memberID))
	}
}

// takeOwn takes the changes that are of rooms of its own, and returns the others.
func (n *notices) takeOwn(changes []PresenceChange) []PresenceChange {
	if n == nil {
		return changes
	}
	for _, r := range n.rosters() {
		own := func(c PresenceChange) bool { return c.Channel == r.room }
		if slices.ContainsFunc(changes, own) {
			changes = slices.Clone(changes)
			r.hear(slices.DeleteFunc(slices.Clone(changes), func(c PresenceChange) bool { return !own(c) }))
			changes = slices.DeleteFunc(changes, own)
		}
	}
	return changes
}

// restored says that the broker was away.
func (n *notices) restored() {
	if n == nil {
		return
	}
	for _, r := range n.rosters() {
		r.brokerCameBack()
	}
}

// passed says that an event has come by: it may be a notice, which need not be told again.
func (n *notices) passed(e Event) {
	if n == nil || !n.on[e.Type] {
		return
	}
	raw, _ := e.Payload.(json.RawMessage)
	var about MemberJoined // has the fields of all of them
	if json.Unmarshal(raw, &about) != nil {
		return
	}
	for _, r := range n.rosters() {
		if name, kind, ok := r.names.read(e.Type, about); ok {
			r.roll.told(name, kind)
		}
	}
}

// put has a notice published once its time has come, in the order of those that are about the same subject.
func (n *notices) put(subject string, w waitingNotice, lag time.Duration) {
	now := n.server.config.clock.Now()
	w.subject = subject
	w.event.Timestamp = now
	if lag > 0 {
		w.due = now.Add(lag)
	}
	n.lanes[maphash.String(n.seed, subject)%noticeLanes].put(w)
}

// publish publishes a notice, however long that takes. One that is refused while everything else is well is given up.
func (n *notices) publish(ctx context.Context, e Event) error {
	for try := 1; ; try++ {
		done, err := n.server.publish(ctx, e)
		if done.ID != "" || ctx.Err() != nil {
			return nil // handlers tell of their errors themselves
		}
		if !isCode(err, CodeUnavailable) || try >= maxNoticeTries && n.server.checkWell() == nil {
			return err
		}
		if !n.server.wait(ctx, retryTime) {
			return nil
		}
	}
}

// maxNoticeTries is how often a notice is refused by a store and a broker that say that they are well.
const maxNoticeTries = 10

// checkWell says what is wrong with the broker or the store.
func (s *Server) checkWell() error {
	if s.config.Store != nil {
		return cmp.Or(s.config.Store.Check(), s.broker.Check())
	}
	return s.broker.Check()
}

// noticeID is an id that every node makes of the same parts. It holds no time, of which nodes have their own opinion, so
// it is a UUIDv8 (RFC 9562, section 5.8).
func noticeID(parts ...string) string {
	return "evt-" + uuid.NewHash(sha256.New(), uuid.Nil, []byte(strings.Join(parts, "\x00")), 8).String()
}
