package herald

import (
	"bytes"
	"context"
	"crypto/rand"
	"slices"
	"sync"
)

// memoryPresence is who is on the presence channels of a node of its own.
type memoryPresence struct {
	node Node // immutable

	// mu guards the rooms. It is held over the node's hearing of changes, which is to be in their order.
	mu    sync.Mutex
	rooms map[string]*memoryRoom
}

// memoryRoom is one channel, from its first member to its last.
type memoryRoom struct {
	version RoomVersion
	members []NodeMember // in the order in which they came
}

func newMemoryPresence(n Node) *memoryPresence {
	return &memoryPresence{node: n, rooms: map[string]*memoryRoom{}}
}

// Apply implements Presences.
func (p *memoryPresence) Apply(_ context.Context, channel string, changes []NodeChange) (Applied, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	applied := Applied{Refused: map[int]error{}}
	room := p.roomLocked(channel)
	var told []PresenceChange
	for i, c := range changes {
		if !c.Gone && !c.Signed && room.holds(c.ID) {
			applied.Refused[i] = errHeld(c.ID)
			continue
		}
		told = p.changeLocked(told, channel, c)
	}
	applied.Version = room.version
	p.tellLocked(channel, told)
	return applied, nil
}

// Replace implements Presences.
func (p *memoryPresence) Replace(_ context.Context, channel string, members []NodeMember) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	stay := map[string]bool{}
	for _, m := range members {
		stay[m.ID] = true
	}
	var told []PresenceChange
	for _, m := range slices.Clone(p.roomLocked(channel).members) {
		if !stay[m.ID] {
			gone := NodeMember{Member: Member{ID: m.ID}}
			told = p.changeLocked(told, channel, NodeChange{gone, true})
		}
	}
	for _, m := range members {
		told = p.changeLocked(told, channel, NodeChange{m, false})
	}
	p.tellLocked(channel, told)
	return nil
}

func (p *memoryPresence) roomLocked(channel string) *memoryRoom {
	room := p.rooms[channel]
	if room == nil {
		room = &memoryRoom{version: RoomVersion{Epoch: rand.Text()[:12]}}
		p.rooms[channel] = room
	}
	return room
}

// changeLocked makes a change and adds what is to be told of it; p.mu must be held.
func (p *memoryPresence) changeLocked(told []PresenceChange, channel string, c NodeChange) []PresenceChange {
	room := p.roomLocked(channel)
	kind := room.change(c)
	if kind == 0 {
		return told
	}
	room.version.Number++
	return append(told, PresenceChange{channel, room.version, c.Member, kind})
}

// tellLocked tells of what has changed on a channel, and forgets one that is empty; p.mu must be held.
func (p *memoryPresence) tellLocked(channel string, changes []PresenceChange) {
	if len(p.rooms[channel].members) == 0 {
		delete(p.rooms, channel)
	}
	if len(changes) > 0 {
		p.node.PresenceChanged(changes)
	}
}

// holds tells whether a signed member has that id.
func (r *memoryRoom) holds(id string) bool {
	i := r.find(id)
	return i >= 0 && r.members[i].Signed
}

func (r *memoryRoom) find(id string) int {
	return slices.IndexFunc(r.members, func(m NodeMember) bool { return m.ID == id })
}

// change makes a change and returns what it is to the other members; 0: nothing.
func (r *memoryRoom) change(c NodeChange) PresenceKind {
	i := r.find(c.ID)
	switch {
	case i < 0 && c.Gone:
		return 0
	case i < 0:
		r.members = append(r.members, c.NodeMember)
		return MemberAdded
	case c.Gone:
		r.members = slices.Delete(r.members, i, i+1)
		return MemberRemoved
	}
	before := r.members[i].Info
	r.members[i] = c.NodeMember
	if bytes.Equal(before, c.Info) {
		return 0
	}
	return MemberUpdated
}

func errHeld(memberID string) error {
	return refuse(CodeBadMember, "the member id %q is taken", memberID)
}

// Members implements Presences.
func (p *memoryPresence) Members(_ context.Context, channel string) (Room, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	room := p.rooms[channel]
	if room == nil {
		return Room{}, nil
	}
	members := make([]Member, len(room.members))
	for i, m := range room.members {
		members[i] = m.Member
	}
	return Room{room.version, members}, nil
}

// Ask implements Cluster: there are no others.
func (p *memoryPresence) Ask(context.Context, []byte, func([]byte) bool) error { return nil }
