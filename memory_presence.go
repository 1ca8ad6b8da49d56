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
	node  Node   // immutable
	epoch string // immutable

	// mu guards the rooms. It is held over the node's hearing of changes, which is to be in their order.
	mu    sync.Mutex
	rooms map[string]*memoryRoom
}

type memoryRoom struct {
	number  uint64
	members []NodeMember // in the order in which they came
}

func newMemoryPresence(n Node) *memoryPresence {
	return &memoryPresence{node: n, epoch: rand.Text()[:12], rooms: map[string]*memoryRoom{}}
}

// Apply implements Presences.
func (p *memoryPresence) Apply(_ context.Context, channel string, changes []NodeChange) (Applied, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	room := p.rooms[channel]
	if room == nil {
		room = &memoryRoom{}
		p.rooms[channel] = room
	}
	applied := Applied{Refused: map[int]error{}}
	var told []PresenceChange
	for i, c := range changes {
		kind, err := room.apply(c)
		if err != nil {
			applied.Refused[i] = err
		}
		if kind != 0 {
			room.number++
			told = append(told, PresenceChange{channel, RoomVersion{p.epoch, room.number}, c.Member, kind})
		}
	}
	applied.Version = RoomVersion{p.epoch, room.number}
	if len(told) > 0 {
		p.node.PresenceChanged(told)
	}
	return applied, nil
}

// apply makes one change and returns what it is to the other members; 0: nothing.
func (r *memoryRoom) apply(c NodeChange) (PresenceKind, error) {
	i := slices.IndexFunc(r.members, func(m NodeMember) bool { return m.ID == c.ID })
	switch {
	case i < 0 && c.Gone:
		return 0, nil
	case i < 0:
		r.members = append(r.members, c.NodeMember)
		return MemberAdded, nil
	case c.Gone:
		r.members = slices.Delete(r.members, i, i+1)
		return MemberRemoved, nil
	case r.members[i].Signed && !c.Signed:
		return 0, errHeld(c.ID)
	}
	same := bytes.Equal(r.members[i].Info, c.Info)
	r.members[i] = c.NodeMember
	if same {
		return 0, nil
	}
	return MemberUpdated, nil
}

func errHeld(memberID string) error {
	return refuse(CodeBadMember, "the member id %q is taken", memberID)
}

// Replace implements Presences.
func (p *memoryPresence) Replace(ctx context.Context, channel string, members []NodeMember) error {
	return nil
}

// Members implements Presences.
func (p *memoryPresence) Members(_ context.Context, channel string) (Room, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	room := p.rooms[channel]
	if room == nil {
		return Room{Version: RoomVersion{Epoch: p.epoch}}, nil
	}
	members := make([]Member, len(room.members))
	for i, m := range room.members {
		members[i] = m.Member
	}
	return Room{RoomVersion{p.epoch, room.number}, members}, nil
}

// Ask implements Cluster: there are no others.
func (p *memoryPresence) Ask(context.Context, []byte, func([]byte) bool) error { return nil }
