package herald

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/herald-events/herald/internal/presence"
	"github.com/herald-events/herald/internal/socket"
	"github.com/herald-events/herald/internal/wire"
)

// rooms are the presence channels on which this node has connections: who of them is where, and, of each
// channel, who is there over all nodes, as the broker tells it.
type rooms struct {
	server *Server // immutable

	// mu guards the fields below and the rooms. It is held over the post of an announcement or of an answer, so
	// that connections hear of everything in one order. The hub's lock is taken under it; the broker is never
	// called under it.
	mu    sync.Mutex
	local *presence.Registry
	rooms map[string]*room
}

func newRooms(s *Server) *rooms {
	return &rooms{server: s, local: presence.New(), rooms: map[string]*room{}}
}

// joined is told to whoever joins, on his loop: with the members that there are then, himself among them,
// behind every announcement that the list holds already and before every later one; or with why not.
type joined func(members []wire.Member, err error)

// join makes a connection a member. Whoever is refused is none.
func (rs *rooms) join(loop *socket.Loop, j presence.Join, then joined) {
	w := waiting{loop: loop, then: then, joins: j.Connection, memberID: j.Member.ID}
	rs.in(j.Channel, func(r *room) {
		before := rs.localLocked(j.Channel, j.Member.ID)
		if _, err := rs.local.Join(j); errors.Is(err, presence.ErrHeld) {
			w.tell(nil, errHeld(j.Member.ID))
			return
		}
		if now := rs.localLocked(j.Channel, j.Member.ID); !now.same(before) || !now.Signed {
			r.owe(now, w) // of a claim too that changes nothing here: the id may be signed on another node by now
		} else {
			r.await(w)
		}
	})
}

// show tells a connection that has joined before, or whose join is under way, of the members that there are
// then.
func (rs *rooms) show(loop *socket.Loop, channel, memberID string, then joined) {
	w := waiting{loop: loop, then: then, memberID: memberID}
	rs.in(channel, func(r *room) { r.await(w) })
}

// leave takes a connection away; its member leaves this node with the last of them.
func (rs *rooms) leave(channel, connection, memberID string) {
	rs.in(channel, func(r *room) {
		before := rs.localLocked(channel, memberID)
		if rs.local.Leave(channel, connection, memberID) {
			rs.server.notices.memberTurned(channel, memberID)
		}
		if now := rs.localLocked(channel, memberID); !now.same(before) {
			r.owe(now, waiting{})
		}
	})
}

// in does something in a room with rs.mu held, and then has the work done that this has made.
func (rs *rooms) in(channel string, do func(*room)) {
	rs.mu.Lock()
	r := rs.rooms[channel]
	if r == nil {
		r = &room{channel: channel, server: rs.server}
		rs.rooms[channel] = r
	}
	do(r)
	work := rs.workLocked(r)
	rs.mu.Unlock()
	work()
}

// localLocked is a member as this node has it now; rs.mu must be held.
func (rs *rooms) localLocked(channel, memberID string) nodeChange {
	m, signed, found := rs.local.Find(channel, memberID)
	return nodeChange{NodeMember{Member{memberID, m.Info}, signed}, !found}
}

// changed takes what the broker tells of.
func (rs *rooms) changed(changes []PresenceChange) {
	for _, c := range changes {
		if rs.has(c.Channel) {
			rs.in(c.Channel, func(r *room) { r.change(c) })
		}
	}
}

// here is a member as this node has it now.
func (rs *rooms) here(channel, memberID string) (m Member, found bool) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	c := rs.localLocked(channel, memberID)
	return c.Member, !c.Gone
}

// each calls yield for every member that this node has, on copies.
func (rs *rooms) each(yield func(channel, memberID string)) {
	rs.mu.Lock()
	here := map[string][]presence.Member{}
	for channel := range rs.rooms {
		here[channel] = rs.local.Members(channel)
	}
	rs.mu.Unlock()
	for channel, members := range here {
		for _, m := range members {
			yield(channel, m.ID)
		}
	}
}

func (rs *rooms) has(channel string) bool {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return rs.rooms[channel] != nil
}

// restored has the broker told again who is here, and tell again who is anywhere.
func (rs *rooms) restored() {
	rs.mu.Lock()
	channels := slices.Collect(maps.Keys(rs.rooms))
	rs.mu.Unlock()
	for _, channel := range channels {
		rs.in(channel, func(r *room) {
			r.replace, r.loaded = true, false
			r.cuts++
		})
	}
}

// count is how many members a channel has over all nodes, as far as this one knows: false where it has none of
// its connections.
func (rs *rooms) count(channel string) (int, bool) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	r := rs.rooms[channel]
	if r == nil || !r.loaded {
		return 0, false
	}
	return r.members.Len(), true
}

// workLocked returns what is to be called once rs.mu is free: the room's worker, if there is work for it. A room
// that nobody is in is forgotten. The broker of a node of its own does not wait: what it is told is done at once.
func (rs *rooms) workLocked(r *room) (work func()) {
	switch {
	case r.working:
	case !r.idle():
		r.working = true
		if rs.server.config.Broker == nil {
			return func() { rs.work(context.Background(), r) }
		}
		return func() { rs.server.loops.Beside(func(ctx context.Context) { rs.work(ctx, r) }) }
	case rs.local.Count(r.channel) == 0:
		delete(rs.rooms, r.channel)
	}
	return func() {}
}

// work does one thing after the other with the broker until nothing is left to do.
func (rs *rooms) work(ctx context.Context, r *room) {
	for {
		do := rs.next(r)
		if do == nil {
			return
		}
		if err := do(ctx); err != nil && !rs.server.wait(ctx, retryTime) {
			return
		}
	}
}

// next is what the worker is to do; nil: nothing, and it is over.
func (rs *rooms) next(r *room) func(context.Context) error {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	switch {
	case r.replace:
		members := rs.membersHereLocked(r.channel)
		r.replace = false
		return func(ctx context.Context) error { return rs.tellMembers(ctx, r, members) }
	case !r.loaded:
		r.early = nil // it is in what is loaded now
		cuts := r.cuts
		return func(ctx context.Context) error { return rs.load(ctx, r, cuts) }
	case len(r.owed) > 0:
		owed := r.owed
		r.owed = nil
		r.pushed = owed
		return func(ctx context.Context) error { return rs.push(ctx, r, owed) }
	}
	r.working = false
	if rs.local.Count(r.channel) == 0 {
		delete(rs.rooms, r.channel)
	}
	return nil
}

// membersHereLocked are the members that this node has on a channel; rs.mu must be held.
func (rs *rooms) membersHereLocked(channel string) []NodeMember {
	members := []NodeMember{}
	for _, m := range rs.local.Members(channel) {
		_, signed, _ := rs.local.Find(channel, m.ID)
		members = append(members, NodeMember{Member{m.ID, m.Info}, signed})
	}
	return members
}

// tellMembers tells the broker all that is here.
func (rs *rooms) tellMembers(ctx context.Context, r *room, members []NodeMember) error {
	err := rs.server.broker.Replace(ctx, r.channel, members)
	if err != nil {
		rs.mu.Lock()
		defer rs.mu.Unlock()
		r.replace = true
		rs.refuseLocked(r, err)
		return err
	}
	for _, m := range members {
		rs.server.notices.memberTurned(r.channel, m.ID)
	}
	return nil
}

// load asks the broker who is there. An answer from before the last cut counts no more: it is asked again.
func (rs *rooms) load(ctx context.Context, r *room, cuts int) error {
	all, err := rs.server.broker.Members(ctx, r.channel)
	rs.mu.Lock()
	defer rs.mu.Unlock()
	switch {
	case err != nil:
		rs.refuseLocked(r, err)
		return err
	case cuts == r.cuts:
		r.load(all)
	}
	return nil
}

// push tells the broker of changes.
func (rs *rooms) push(ctx context.Context, r *room, owed []owed) error {
	changes := make([]NodeChange, len(owed))
	for i, o := range owed {
		changes[i] = NodeChange(o.change)
	}
	applied, err := rs.server.broker.Apply(ctx, r.channel, changes)
	rs.mu.Lock()
	defer rs.mu.Unlock()
	r.pushed = nil
	if err != nil {
		r.replace = true // some of it may have been applied
		r.owed = append(owed, r.owed...)
		rs.refuseLocked(r, err)
		return err
	}
	for i, o := range owed {
		if refused := applied.Refused[i]; refused != nil {
			rs.rollBackLocked(r, o.waiting, refused)
		} else {
			rs.server.notices.memberTurned(r.channel, o.change.ID)
			r.awaitVersion(applied.Version, o.waiting)
		}
	}
	return nil
}

// refuseLocked refuses all who wait to join, since the broker has failed; what else it is to know it will be told
// when it is back. rs.mu must be held.
func (rs *rooms) refuseLocked(r *room, err error) {
	refused := slices.Concat(r.waiting, r.waitingIn())
	r.replace = r.replace || len(r.owed) > 0 || len(r.waiting) > 0
	r.waiting, r.owed = nil, nil
	for _, w := range refused {
		rs.rollBackLocked(r, w, err)
	}
}

// rollBackLocked takes back a join that has come to nothing; rs.mu must be held. Who has joined before stays.
func (rs *rooms) rollBackLocked(r *room, w waiting, err error) {
	if w.then == nil {
		return
	}
	if w.joins != "" {
		rs.local.Leave(r.channel, w.joins, w.memberID)
		rs.server.notices.memberTurned(r.channel, w.memberID)
	}
	w.tell(nil, err)
}

// removeDoubtedLater removes from a room, after a time, of whom the broker has not told again by then.
func (rs *rooms) removeDoubtedLater(r *room) {
	rs.server.loops.Beside(func(ctx context.Context) {
		if !rs.server.wait(ctx, doubtTime) {
			return
		}
		rs.mu.Lock()
		defer rs.mu.Unlock()
		if rs.rooms[r.channel] == r {
			r.removeDoubted(rs.server.config.clock.Now())
		}
	})
}
