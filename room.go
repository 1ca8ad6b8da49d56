package herald

import (
	"bytes"
	"slices"
	"time"

	"github.com/herald-events/herald/internal/hub"
	"github.com/herald-events/herald/internal/presence"
	"github.com/herald-events/herald/internal/socket"
	"github.com/herald-events/herald/internal/wire"
)

// room is who is on one presence channel over all nodes. It is guarded by the set's mu.
type room struct {
	channel string  // immutable
	server  *Server // immutable

	loaded  bool // version and members are the broker's
	version RoomVersion
	members presence.List
	doubted map[string]time.Time // members of whom the broker has forgotten, with everybody else, and how long they stay
	early   []PresenceChange     // that came while the members were loaded
	waiting []waiting            // for a version, or for the members to be loaded
	cuts    int                  // how often the broker has been away: what it was asked before counts no more

	working bool   // the worker is at it
	replace bool   // the broker is to be told all that is here
	owed    []owed // the broker is to be told of, in order
	pushed  []owed // it is being told of
}

// nodeChange is a member as this node has it.
type nodeChange NodeChange

func (c nodeChange) same(other nodeChange) bool {
	return c.Gone == other.Gone && c.Signed == other.Signed && bytes.Equal(c.Info, other.Info)
}

// owed is a change of which the broker is to be told.
type owed struct {
	change  nodeChange
	waiting waiting // whoever joins with it
}

// waiting is a connection that waits until it is a member.
type waiting struct {
	loop     *socket.Loop
	then     joined // nil: nobody waits
	joins    string // the connection that becomes a member; empty: it has asked before
	memberID string
	version  RoomVersion // that has it in it; zero: any
}

// tell tells it on its loop.
func (w waiting) tell(members []wire.Member, err error) {
	w.loop.Post(func() { w.then(members, err) })
}

// idle tells whether there is nothing to do.
func (r *room) idle() bool { return r.loaded && !r.replace && len(r.owed) == 0 }

// owe has the broker told of a change.
func (r *room) owe(c nodeChange, w waiting) { r.owed = append(r.owed, owed{c, w}) }

// await has somebody wait for a member that is here already, or that the broker is being told of.
func (r *room) await(w waiting) {
	for _, list := range [][]owed{r.owed, r.pushed} {
		for _, o := range slices.Backward(list) {
			if o.change.ID == w.memberID {
				r.owe(o.change, w) // it is told again, which changes nothing, and waits for that
				return
			}
		}
	}
	r.waiting = append(r.waiting, w)
	r.release()
}

// awaitVersion has somebody wait until the members are those of a version.
func (r *room) awaitVersion(v RoomVersion, w waiting) {
	if w.then == nil {
		return
	}
	w.version = v
	r.waiting = append(r.waiting, w)
	r.release()
}

// release tells those who wait for what is there by now.
func (r *room) release() {
	if !r.loaded {
		return
	}
	r.waiting = slices.DeleteFunc(r.waiting, func(w waiting) bool {
		if w.version.Epoch == r.version.Epoch && w.version.Number > r.version.Number {
			return false
		}
		w.tell(r.list(), nil)
		return true
	})
}

// waitingIn are those who wait in what is owed.
func (r *room) waitingIn() []waiting {
	var ws []waiting
	for _, o := range r.owed {
		if o.waiting.then != nil {
			ws = append(ws, o.waiting)
		}
	}
	return ws
}

// change takes what the broker tells of. What does not follow has everything loaded again.
func (r *room) change(c PresenceChange) {
	switch {
	case !r.loaded:
		r.early = append(r.early, c)
	case c.Version.Epoch == r.version.Epoch && c.Version.Number <= r.version.Number: // it is in what was loaded
	case c.Version.Epoch == r.version.Epoch && c.Version.Number == r.version.Number+1:
		r.version = c.Version
		r.apply(c.Kind, c.Member)
		r.release()
	default:
		r.loaded = false
	}
}

// load takes the members that the broker has, and what it has told of meanwhile.
func (r *room) load(all Room) {
	forgotten := r.version.Epoch != "" && r.version.Epoch != all.Version.Epoch
	r.loaded = true
	r.version = all.Version
	present := map[string]bool{}
	for _, m := range all.Members {
		present[m.ID] = true
		r.apply(MemberAdded, m)
	}
	if forgotten {
		r.doubtAllBut(present)
	}
	for _, m := range r.members.All() {
		if _, doubted := r.doubted[m.ID]; !doubted && !present[m.ID] {
			r.apply(MemberRemoved, Member(m))
		}
	}
	early := r.early
	r.early = nil
	for _, c := range early {
		r.change(c)
	}
	r.release()
}

// apply makes one change, and announces it if it is one to the connections here.
func (r *room) apply(kind PresenceKind, m Member) {
	delete(r.doubted, m.ID)
	switch {
	case kind == MemberRemoved:
		if r.members.Remove(m.ID) {
			r.announce(wire.MemberRemoved(r.channel, m.ID), 0)
		}
	case kind == MemberUpdated && !r.members.Has(m.ID):
	case r.members.Set(presence.Member(m)):
		r.announce(wire.MemberAdded(r.channel, wire.Member(m)), len(m.Info))
	}
}

func (r *room) announce(text []byte, size int) {
	r.server.hub.Announce(hub.Message{
		Channel: r.channel,
		Frame:   socket.NewFrame(notice{text}),
		Size:    size + frameOverhead,
	})
}

// doubtTime is how long members are kept of whom the broker has forgotten together with everybody else: their
// nodes tell it again within that time, or are gone.
const doubtTime = 20 * time.Second

// doubtAllBut keeps members for a time in which the broker may tell of them again; anew, if they are doubted already.
func (r *room) doubtAllBut(present map[string]bool) {
	until := r.server.config.clock.Now().Add(doubtTime)
	r.doubted = map[string]time.Time{}
	for _, m := range r.members.All() {
		if !present[m.ID] {
			r.doubted[m.ID] = until
		}
	}
	if len(r.doubted) > 0 {
		r.server.rooms.removeDoubtedLater(r)
	}
}

// removeDoubted removes those whose time is over.
func (r *room) removeDoubted(now time.Time) {
	for id, until := range r.doubted {
		if !now.Before(until) {
			r.apply(MemberRemoved, Member{ID: id})
		}
	}
}

// list are the members as connections get them.
func (r *room) list() []wire.Member {
	members := r.members.All()
	list := make([]wire.Member, len(members))
	for i, m := range members {
		list[i] = wire.Member(m)
	}
	return list
}

// notice is a message that has no other form than its JSON text.
type notice struct{ text []byte }

// Text is the message on a WebSocket.
func (n notice) Text() []byte { return n.text }

// Block is the message on a channel stream.
func (n notice) Block() []byte { return streamBlock("event", n.text) }
