package herald_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
	"github.com/herald-events/herald/internal/clock"
)

const scriptedRoom = "presence-x"

// scriptedPresence is a broker whose record of one presence channel is the test's.
type scriptedPresence struct {
	*herald.MemoryBroker
	node   herald.Node
	loaded func()      // each reading, once it is known what it will say; nil: nothing
	away   atomic.Bool // Check says so

	mu   sync.Mutex // guards the fields below
	room herald.Room
}

// startScripted starts a server with such a broker, on whose record are the members.
func startScripted(t *testing.T, config herald.Config, loaded func(), members ...string) (*heraldtest.Server, *scriptedPresence) {
	t.Helper()
	b := &scriptedPresence{MemoryBroker: herald.NewMemoryBroker(), loaded: loaded}
	b.write("first", members...)
	config.Broker = b
	srv := startQuiet(t, config)
	<-b.Began
	return srv, b
}

// write begins the record anew.
func (b *scriptedPresence) write(epoch string, members ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.room = herald.Room{Version: herald.RoomVersion{Epoch: epoch, Number: 1}}
	for _, id := range members {
		b.room.Members = append(b.room.Members, herald.Member{ID: id})
	}
}

// add writes of a member, and tells of it.
func (b *scriptedPresence) add(m herald.Member) (version herald.RoomVersion) {
	b.mu.Lock()
	b.room.Version.Number++
	b.room.Members = append(slices.Clone(b.room.Members), m)
	version = b.room.Version
	b.mu.Unlock()
	b.node.PresenceChanged([]herald.PresenceChange{{Channel: scriptedRoom, Version: version, Member: m, Kind: herald.MemberAdded}})
	return version
}

// Run implements herald.Broker.
func (b *scriptedPresence) Run(ctx context.Context, n herald.Node) error {
	b.node = n
	return b.MemoryBroker.Run(ctx, n)
}

// Check implements herald.Broker.
func (b *scriptedPresence) Check() error {
	if b.away.Load() {
		return errors.New("away")
	}
	return b.MemoryBroker.Check()
}

// Apply implements herald.Presences.
func (b *scriptedPresence) Apply(_ context.Context, _ string, changes []herald.NodeChange) (herald.Applied, error) {
	var applied herald.Applied
	for _, c := range changes {
		if !c.Gone {
			applied.Version = b.add(c.Member)
		}
	}
	return applied, nil
}

// Replace implements herald.Presences: the record stays as the test has written it.
func (b *scriptedPresence) Replace(context.Context, string, []herald.NodeMember) error { return nil }

// Members implements herald.Presences.
func (b *scriptedPresence) Members(context.Context, string) (herald.Room, error) {
	b.mu.Lock()
	room := b.room
	b.mu.Unlock()
	if b.loaded != nil {
		b.loaded()
	}
	return room, nil
}

func askToJoin(c *heraldtest.Client, member string) {
	data := `{"id":"` + member + `"}`
	c.Send(map[string]any{"type": "subscribe", "channel": scriptedRoom, "channel_data": data, "auth": c.Sign(scriptedRoom, data)})
}

// listed asks again as a member who is there already, and returns who is.
func listed(c *heraldtest.Client, member string) string {
	askToJoin(c, member)
	m := c.Next()
	for m.Type != "subscription_succeeded" {
		m = c.Next()
	}
	return string(m.Data)
}

// Members of whom the record has forgotten twice are kept for as long after the second time as after the first.
func TestMembersAreDoubtedAnew(t *testing.T) {
	const doubtTime = 20 * time.Second
	config := herald.Config{}
	config.KeepAlive.PingInterval = time.Hour
	k := clock.NewManual(time.Now())
	srv, b := startScripted(t, herald.WithClock(config, k), nil, "bob", "cid")
	ann := srv.Dial(t)
	ann.Subscribe(scriptedRoom, herald.Member{ID: "ann"})
	const all = `{"members":[{"id":"bob"},{"id":"cid"},{"id":"ann"}]}`
	lose := func(epoch string) {
		t.Helper()
		b.write(epoch, "ann")
		b.node.Restored()
		if got := listed(ann, "ann"); !heraldtest.SameJSON(got, all) {
			t.Fatalf("got %s, want %s", got, all)
		}
	}
	lose("second")
	b.add(herald.Member{ID: "bob"}) // his node has told of him again, and cid's has not yet
	k.Advance(doubtTime - 5*time.Second)
	lose("third")
	since := k.Now()
	wsEventually(t, "bob and cid are gone", func() bool {
		k.Advance(time.Second)
		lasted := k.Now().Sub(since)
		got := listed(ann, "ann")
		if lasted < doubtTime && !heraldtest.SameJSON(got, all) {
			t.Fatalf("got %s after %v, want %s", got, lasted, all)
		}
		return heraldtest.SameJSON(got, `{"members":[{"id":"ann"}]}`)
	})
}

// What the broker says to a question from before a cut is not who is there after it.
func TestMembersFromBeforeACut(t *testing.T) {
	reading, goOn := make(chan struct{}, 10), make(chan struct{})
	var slow atomic.Bool
	srv, b := startScripted(t, herald.Config{}, func() {
		if slow.CompareAndSwap(true, false) {
			reading <- struct{}{}
			<-goOn
		}
	}, "bob")
	resume := sync.OnceFunc(func() { close(goOn) })
	t.Cleanup(resume)
	ann := srv.Dial(t)
	ann.Subscribe(scriptedRoom, herald.Member{ID: "ann"})
	slow.Store(true)
	b.node.Restored()
	<-reading
	b.write("first", "ann") // bob has left, which nobody has told
	b.node.Restored()
	resume()
	if got, want := listed(ann, "ann"), `{"members":[{"id":"ann"}]}`; !heraldtest.SameJSON(got, want) {
		t.Errorf("got %s, want %s", got, want)
	}
}

// A change that came before the members were asked for is in what is said of them, also where that is of another
// epoch: they are not asked for over and over.
func TestMembersAreLoadedOnce(t *testing.T) {
	var loads atomic.Int32
	srv, b := startScripted(t, herald.Config{}, func() { loads.Add(1) }, "bob")
	ann := srv.Dial(t)
	ann.Subscribe(scriptedRoom, herald.Member{ID: "ann"})
	before := loads.Load()
	b.node.PresenceChanged([]herald.PresenceChange{{
		Channel: scriptedRoom, Version: herald.RoomVersion{Epoch: "former", Number: 7}, Member: herald.Member{ID: "cid"}, Kind: herald.MemberAdded,
	}})
	if got, want := listed(ann, "ann"), `{"members":[{"id":"bob"},{"id":"ann"}]}`; !heraldtest.SameJSON(got, want) {
		t.Errorf("got %s, want %s", got, want)
	}
	listed(ann, "ann")
	if n := loads.Load() - before; n != 1 {
		t.Errorf("the members were asked for %d times, want once", n)
	}
}

// While the broker is away nobody becomes present, though the node has the member already: its list may be stale.
func TestNobodyJoinsWhileTheBrokerIsAway(t *testing.T) {
	srv, b := startScripted(t, herald.Config{Authorizer: yes}, nil, "bob")
	ann := srv.Dial(t)
	ann.Subscribe(scriptedRoom, herald.Member{ID: "ann"})
	b.away.Store(true)
	again := srv.Dial(t)
	askToJoin(again, "ann")
	again.ExpectCode("broker_unavailable")
	b.away.Store(false)
	askToJoin(again, "ann")
	if m := again.Next(); m.Type != "subscription_succeeded" {
		t.Errorf("got %s, want to be let in", m.Raw)
	}
}
