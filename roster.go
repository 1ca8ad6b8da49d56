package herald

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"github.com/herald-events/herald/internal/hub"
)

// The rooms of the broker in which nodes tell each other what they have. No channel has a colon in its name.
const (
	channelsRoom = ":notices.channels"
	membersRoom  = ":notices.members"
)

const (
	// maxTurned is how many names may wait to be looked at one by one; past it all are.
	maxTurned = 100_000
	// applyAtOnce is how many changes the broker is told at a time, of which nobody else gets a turn meanwhile.
	applyAtOnce = 500
)

// rosterNames are what a roster is about: channels, or members.
type rosterNames interface {
	// find tells whether this node has it now, and what a notice says of it.
	find(name string) (info json.RawMessage, here bool)
	each(yield func(name string))
	notice(kind PresenceKind, m Member) Payload
	// read is the way back from a notice; false: it is not about one of these.
	read(eventType string, p MemberJoined) (name string, kind PresenceKind, ok bool)
}

// roster is a room of the broker in which the members are the channels, or the members of channels, that any node has.
// So it is told once of each that comes or goes over all nodes, also where a node dies. This node holds what it has
// there, and lets go of it when it has been without for the grace.
type roster struct {
	// Immutable after newRoster.
	notices *notices
	server  *Server
	room    string
	names   rosterNames
	roll    *roll
	wake    chan struct{} // holds a token when there is something to do

	mu       sync.Mutex // guards the fields below
	turned   map[string]struct{}
	all      bool // every name is to be looked at
	cameBack bool // the broker has

	// Owned by run.
	held       map[string]time.Time // what the broker has been told that this node has; when it lets go: zero, it has it still
	leaving    []leave              // oldest first
	subscribed bool
	replace    bool // the broker is to be told all that is held
	over       bool // nothing is held any more
	changes    []NodeChange
	released   map[string]struct{} // what this node has let go of, until it is told of that
	applied    RoomVersion         // that has all that the broker was told in it
}

// leave is a name that is let go of at a time, unless it has come back.
type leave struct {
	name string
	at   time.Time
}

func newRoster(n *notices, room string, names rosterNames) *roster {
	r := &roster{
		notices: n, server: n.server, room: room, names: names, wake: make(chan struct{}, 1),
		turned: map[string]struct{}{}, held: map[string]time.Time{}, released: map[string]struct{}{},
	}
	r.roll = newRoll(room, n.server.config.clock, r.tell)
	return r
}

// nameTurned says that this node may have got or lost something: how it is will be looked at. It is called by loops, and
// under the rooms' lock.
func (r *roster) nameTurned(name string) {
	r.mu.Lock()
	if len(r.turned) < maxTurned {
		r.turned[name] = struct{}{}
	} else {
		r.all = true
	}
	r.mu.Unlock()
	wakeUp(r.wake)
}

func (r *roster) hear(changes []PresenceChange) {
	r.roll.put(changes)
	wakeUp(r.wake)
}

func (r *roster) brokerCameBack() {
	r.mu.Lock()
	r.cameBack = true
	r.mu.Unlock()
	wakeUp(r.wake)
}

// isShared tells whether other nodes may have something too.
func (r *roster) isShared() bool { return r.server.config.Broker != nil }

// run does what there is to do until ctx ends, or until everything was let go of after the notices' end.
func (r *roster) run(ctx context.Context) {
	timer := r.server.config.clock.NewTimer()
	defer timer.Stop()
	ending := r.notices.ending
	for {
		if err := r.work(ctx); err != nil {
			if !r.server.wait(ctx, retryTime) {
				return
			}
			continue
		}
		if r.isShared() && !r.roll.isLoaded() { // something did not follow
			continue
		}
		if r.over && r.roll.has(r.applied) {
			return
		}
		if at := r.nextTime(); !at.IsZero() {
			timer.Set(at)
		}
		select {
		case <-r.wake:
		case <-timer.C():
		case <-ending:
			ending = nil
			r.letAllGo()
		case <-ctx.Done():
			return
		}
	}
}

// nextTime is when there is something to do though nothing happens; zero: never.
func (r *roster) nextTime() time.Time {
	at := r.roll.doubtUntil
	if len(r.leaving) > 0 && (at.IsZero() || r.leaving[0].at.Before(at)) {
		at = r.leaving[0].at
	}
	return at
}

// work does all that is to be done now.
func (r *roster) work(ctx context.Context) error {
	if r.isShared() {
		if err := r.catchUp(ctx); err != nil {
			return err
		}
	}
	now := r.server.config.clock.Now()
	r.roll.listen(now)
	r.look(now)
	r.letGo(now)
	return r.apply(ctx)
}

// catchUp sees to it that the broker knows what this node holds, and this node what there is.
func (r *roster) catchUp(ctx context.Context) error {
	if !r.subscribed {
		if _, err := r.server.broker.Subscribe(ctx, r.room, Retention{}); err != nil {
			return err
		}
		r.subscribed = true
	}
	r.mu.Lock()
	cameBack := r.cameBack
	r.cameBack = false
	r.mu.Unlock()
	if cameBack {
		r.replace = true
		r.roll.forget()
	}
	if r.replace {
		if err := r.server.broker.Replace(ctx, r.room, r.allHeld()); err != nil {
			return err
		}
		r.replace = false
	}
	if r.roll.isLoaded() {
		return nil
	}
	all, err := r.server.broker.Members(ctx, r.room)
	if err == nil {
		r.roll.load(all)
	}
	return err
}

func (r *roster) allHeld() []NodeMember {
	held := make([]NodeMember, 0, len(r.held))
	for name := range r.held {
		info, _ := r.names.find(name)
		held = append(held, NodeMember{Member: Member{ID: name, Info: info}})
	}
	return held
}

// look looks at the names that have turned.
func (r *roster) look(now time.Time) {
	r.mu.Lock()
	turned, all := r.turned, r.all
	r.turned, r.all = map[string]struct{}{}, false
	r.mu.Unlock()
	if r.over {
		return
	}
	if all {
		r.names.each(func(name string) { turned[name] = struct{}{} })
		for name := range r.held {
			turned[name] = struct{}{}
		}
	}
	for name := range turned {
		r.lookAt(name, now)
	}
}

func (r *roster) lookAt(name string, now time.Time) {
	info, here := r.names.find(name)
	at, held := r.held[name]
	switch {
	case here && !held:
		r.changes = append(r.changes, NodeChange{NodeMember: NodeMember{Member: Member{ID: name, Info: info}}})
		delete(r.released, name)
		r.held[name] = time.Time{}
	case here:
		r.held[name] = time.Time{}
	case held && at.IsZero():
		at = now.Add(noticeGrace)
		r.held[name] = at
		r.leaving = append(r.leaving, leave{name, at})
	}
}

// letGo lets go of those that have not come back.
func (r *roster) letGo(now time.Time) {
	for len(r.leaving) > 0 && !r.leaving[0].at.After(now) {
		l := r.leaving[0]
		r.leaving = r.leaving[1:]
		if at, held := r.held[l.name]; held && at.Equal(l.at) {
			r.release(l.name)
		}
	}
}

func (r *roster) release(name string) {
	delete(r.held, name)
	r.released[name] = struct{}{}
	r.changes = append(r.changes, NodeChange{NodeMember{Member: Member{ID: name}}, true})
}

// letAllGo lets go of everything, for good: nobody is connected any more, and who has gone has no time left in which
// this node could see him come back.
func (r *roster) letAllGo() {
	for name := range r.held {
		r.release(name)
	}
	r.leaving, r.over = nil, true
}

// apply tells the broker of changes. What it was told and may not have taken it is told again with all the rest.
func (r *roster) apply(ctx context.Context) error {
	for len(r.changes) > 0 {
		some := r.changes[:min(len(r.changes), applyAtOnce)]
		if !r.isShared() {
			r.applied = r.roll.applyOwn(some)
		} else {
			applied, err := r.server.broker.Apply(ctx, r.room, some)
			if err != nil {
				r.changes, r.replace = nil, true
				return err
			}
			r.applied = applied.Version
		}
		r.changes = r.changes[len(some):]
	}
	r.changes = nil
	if len(r.released) > 0 && r.roll.has(r.applied) {
		clear(r.released)
	}
	return nil
}

// tell has a notice published: by this node at once where it has caused it, and else where nobody else does.
func (r *roster) tell(t tiding) {
	payload := r.names.notice(t.kind, t.member)
	if !r.notices.isOn(payload) {
		return
	}
	w := waitingNotice{event: Event{ID: t.id, Type: payload.EventType(), Payload: payload}}
	_, holds := r.held[t.member.ID]
	_, released := r.released[t.member.ID]
	lag := r.notices.lag
	switch {
	case t.unsure:
		lag = unsureNoticeLag
		w.unless = func() bool { return !r.roll.isUnsure(t.member.ID, t.kind) }
	case t.kind == MemberAdded && holds, t.kind == MemberRemoved && released:
		lag = 0
	}
	r.notices.put(t.member.ID, w, lag)
}

// channelNames are the channels that have subscribers.
type channelNames struct{ hub *hub.Hub }

func (c channelNames) find(name string) (json.RawMessage, bool) { return nil, c.hub.Count(name) > 0 }

func (c channelNames) each(yield func(string)) {
	c.hub.Channels(func(name string, _ int) { yield(name) })
}

func (c channelNames) notice(kind PresenceKind, m Member) Payload {
	if kind == MemberAdded {
		return ChannelOccupied{m.ID}
	}
	return ChannelVacated{m.ID}
}

func (c channelNames) read(eventType string, p MemberJoined) (name string, kind PresenceKind, ok bool) {
	switch eventType {
	case ChannelOccupied{}.EventType():
		return p.Channel, MemberAdded, true
	case ChannelVacated{}.EventType():
		return p.Channel, MemberRemoved, true
	}
	return "", 0, false
}

// memberNames are the members of all presence channels.
type memberNames struct{ rooms *rooms }

// memberName is a member's name among those of all channels, which have no slash.
func memberName(channel, memberID string) string { return channel + "/" + memberID }

func (m memberNames) find(name string) (json.RawMessage, bool) {
	channel, id, _ := strings.Cut(name, "/")
	found, here := m.rooms.here(channel, id)
	return found.Info, here
}

func (m memberNames) each(yield func(string)) {
	m.rooms.each(func(channel, id string) { yield(memberName(channel, id)) })
}

func (m memberNames) notice(kind PresenceKind, who Member) Payload {
	channel, id, _ := strings.Cut(who.ID, "/")
	if kind == MemberAdded {
		return MemberJoined{channel, Member{id, who.Info}}
	}
	return MemberLeft{channel, Member{ID: id}}
}

func (m memberNames) read(eventType string, p MemberJoined) (name string, kind PresenceKind, ok bool) {
	switch eventType {
	case MemberJoined{}.EventType():
		return memberName(p.Channel, p.Member.ID), MemberAdded, true
	case MemberLeft{}.EventType():
		return memberName(p.Channel, p.Member.ID), MemberRemoved, true
	}
	return "", 0, false
}
