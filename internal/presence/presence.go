// Package presence knows who is on which channel. A member counts once by id, however many
// connections it has.
//
// A [Registry] has no lock of its own: who uses it must announce joins and leaves in the order in
// which they happened, and so must hold one over both.
package presence

import (
	"encoding/json"
	"errors"
)

// Member is who a connection is on a channel. Info is JSON, or nil.
type Member struct {
	ID   string
	Info json.RawMessage
}

// Registry is the members of every channel.
type Registry struct{ rooms map[string]*room }

// New returns a registry of empty channels.
func New() *Registry { return &Registry{rooms: map[string]*room{}} }

type room struct {
	places map[string]*place
	order  []*place // as they came, with nil where one left; so that lists are stable
	gone   int      // how many of order are nil
}

type place struct {
	member      Member
	index       int             // in room.order
	connections map[string]bool // by connection id: whether its member was signed
	signed      int             // how many of connections are signed
}

// Join is one connection that comes as a member.
type Join struct {
	Channel    string
	Connection string
	Member     Member
	// Signed says that a backend has vouched for the member; without it, its id is the client's claim.
	Signed bool
}

// ErrHeld refuses a claimed id under which a signed member is present.
var ErrHeld = errors.New("the member id is held by a signed member")

// Join adds a connection and reports whether it is its member's first. The newest info wins. A
// connection that joins again stays as it is.
func (r *Registry) Join(j Join) (first bool, err error) {
	rm := r.rooms[j.Channel]
	if rm == nil {
		rm = &room{places: map[string]*place{}}
		r.rooms[j.Channel] = rm
	}
	p := rm.places[j.Member.ID]
	switch {
	case p == nil:
		p = &place{index: len(rm.order), connections: map[string]bool{}}
		rm.places[j.Member.ID] = p
		rm.order = append(rm.order, p)
		first = true
	case p.signed > 0 && !j.Signed:
		return false, ErrHeld
	}
	if _, again := p.connections[j.Connection]; again {
		return false, nil
	}
	p.member = j.Member
	p.connections[j.Connection] = j.Signed
	if j.Signed {
		p.signed++
	}
	return first, nil
}

// Leave takes a connection away and reports whether it was its member's last. One that never
// joined changes nothing.
func (r *Registry) Leave(channel, connection, memberID string) (last bool) {
	rm := r.rooms[channel]
	if rm == nil {
		return false
	}
	p := rm.places[memberID]
	if p == nil {
		return false
	}
	signed, present := p.connections[connection]
	if !present {
		return false
	}
	delete(p.connections, connection)
	if signed {
		p.signed--
	}
	if len(p.connections) > 0 {
		return false
	}
	rm.vacate(p)
	if len(rm.places) == 0 {
		delete(r.rooms, channel)
	}
	return true
}

// vacate removes a member's place, and closes the holes when they are the larger part.
func (rm *room) vacate(p *place) {
	delete(rm.places, p.member.ID)
	rm.order[p.index] = nil
	rm.gone++
	if rm.gone <= len(rm.order)/2 {
		return
	}
	kept := make([]*place, 0, len(rm.places))
	for _, other := range rm.order {
		if other != nil {
			other.index = len(kept)
			kept = append(kept, other)
		}
	}
	rm.order, rm.gone = kept, 0
}

// Members lists a channel's members, in the order in which they came.
func (r *Registry) Members(channel string) []Member {
	rm := r.rooms[channel]
	if rm == nil {
		return nil
	}
	members := make([]Member, 0, len(rm.places))
	for _, p := range rm.order {
		if p != nil {
			members = append(members, p.member)
		}
	}
	return members
}

// Find returns a member of a channel, and whether a backend vouches for one of its connections.
func (r *Registry) Find(channel, memberID string) (m Member, signed, found bool) {
	rm := r.rooms[channel]
	if rm == nil || rm.places[memberID] == nil {
		return Member{}, false, false
	}
	p := rm.places[memberID]
	return p.member, p.signed > 0, true
}

// Count is how many members a channel has.
func (r *Registry) Count(channel string) int {
	if rm := r.rooms[channel]; rm != nil {
		return len(rm.places)
	}
	return 0
}
