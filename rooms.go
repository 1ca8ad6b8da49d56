package herald

import (
	"errors"
	"sync"

	"github.com/herald-events/herald/internal/hub"
	"github.com/herald-events/herald/internal/presence"
	"github.com/herald-events/herald/internal/socket"
	"github.com/herald-events/herald/internal/wire"
)

// rooms are the presence channels: who is where, and the announcements of it.
type rooms struct {
	hub *hub.Hub

	// mu guards registry. It is held from a join or leave to the post of its announcement, so that
	// they are announced in the order in which they happened. The hub's lock is taken under it.
	mu       sync.Mutex
	registry *presence.Registry
}

func newRooms(h *hub.Hub) *rooms { return &rooms{hub: h, registry: presence.New()} }

// join makes a connection a member, and runs complete on its loop with the members that there are
// then: behind every announcement that the list holds already, and before every later one.
func (r *rooms) join(loop *socket.Loop, j presence.Join, complete func([]wire.Member)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	first, err := r.registry.Join(j)
	if errors.Is(err, presence.ErrHeld) {
		return refuse(CodeBadMember, "the member id %q is taken", j.Member.ID)
	}
	if first {
		r.hub.Announce(hub.Message{
			Channel: j.Channel,
			Frame:   socket.NewFrame(notice{wire.MemberAdded(j.Channel, wireMember(j.Member))}),
			Size:    len(j.Member.Info) + frameOverhead,
		})
	}
	members := r.listLocked(j.Channel)
	loop.Post(func() { complete(members) })
	return nil
}

// show runs complete on the loop with the members that there are now, ordered among the announcements
// as join does.
func (r *rooms) show(loop *socket.Loop, channel string, complete func([]wire.Member)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	members := r.listLocked(channel)
	loop.Post(func() { complete(members) })
}

// leave takes a connection away; its member leaves with the last of them.
func (r *rooms) leave(channel, connection, memberID string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.registry.Leave(channel, connection, memberID) {
		return
	}
	r.hub.Announce(hub.Message{
		Channel: channel,
		Frame:   socket.NewFrame(notice{wire.MemberRemoved(channel, memberID)}),
		Size:    frameOverhead,
	})
}

func (r *rooms) listLocked(channel string) []wire.Member {
	members := r.registry.Members(channel)
	list := make([]wire.Member, 0, len(members))
	for _, m := range members {
		list = append(list, wireMember(m))
	}
	return list
}

func (r *rooms) list(channel string) []wire.Member {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.listLocked(channel)
}

func (r *rooms) members(channel string) []Member {
	list := r.list(channel)
	members := make([]Member, 0, len(list))
	for _, m := range list {
		members = append(members, Member(m))
	}
	return members
}

func (r *rooms) count(channel string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.registry.Count(channel)
}

func wireMember(m presence.Member) wire.Member { return wire.Member{ID: m.ID, Info: m.Info} }

// notice is a message that has no other form than its JSON text.
type notice struct{ text []byte }

// Text is the message on a WebSocket.
func (n notice) Text() []byte { return n.text }

// Block is the message on a channel stream.
func (n notice) Block() []byte { return streamBlock("event", n.text) }
