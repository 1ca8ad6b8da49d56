package herald_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gobwas/ws"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

// wsMembers is what a client knows of a room: the list that it got and what it was told since.
type wsMembers struct {
	ids    map[string]bool
	faults []string // what was added twice, or removed twice
}

func (m *wsMembers) apply(t *testing.T, msg heraldtest.Message) {
	t.Helper()
	var data struct {
		ID      string
		Members []struct{ ID string }
	}
	if err := json.Unmarshal(msg.Data, &data); err != nil {
		t.Fatalf("got %s: %v", msg.Raw, err)
	}
	switch {
	case msg.Type == "subscription_succeeded":
		m.ids = map[string]bool{}
		for _, member := range data.Members {
			m.ids[member.ID] = true
		}
	case msg.Name() == "member_added":
		m.fault(m.ids[data.ID], "added twice: ", data.ID)
		m.ids[data.ID] = true
	case msg.Name() == "member_removed":
		m.fault(!m.ids[data.ID], "removed twice: ", data.ID)
		delete(m.ids, data.ID)
	}
}

func (m *wsMembers) fault(is bool, what, id string) {
	if is {
		m.faults = append(m.faults, what+id)
	}
}

func (m *wsMembers) check(t *testing.T, want ...string) {
	t.Helper()
	if got := slices.Sorted(maps.Keys(m.ids)); !slices.Equal(got, want) || len(m.faults) > 0 {
		t.Fatalf("got the members %q (%s), want %q", got, m.faults, want)
	}
}

// Two who join an empty room at once must learn of each other, whichever of them was first.
func TestWebSocketPresenceJoinsAtOnce(t *testing.T) {
	const rounds = 400
	srv := heraldtest.Start(t, herald.Config{Limits: herald.Limits{MaxChannels: rounds}})
	a, b := srv.Dial(t), srv.Dial(t)
	for i := range rounds {
		room := fmt.Sprintf("presence-race.%d", i)
		var wg sync.WaitGroup
		for c, id := range map[*heraldtest.Client]string{a: "a", b: "b"} {
			member := fmt.Sprintf(`{"id":%q}`, id)
			join := wsJoin(room, c.Sign(room, member), "channel_data", member)
			wg.Go(func() { _ = c.TrySend(join) })
		}
		wg.Wait()
		toA, toB := a.Settle(), b.Settle()
		toA = append(toA, a.Settle()...) // b may have come after a's first pong
		for _, messages := range [][]heraldtest.Message{toA, toB} {
			var known wsMembers
			for _, m := range messages {
				known.apply(t, m)
			}
			known.check(t, "a", "b")
		}
	}
}

// Who joins while another leaves must not be left with a ghost.
func TestWebSocketPresenceJoinsWhileAnotherLeaves(t *testing.T) {
	const rounds = 400
	srv := heraldtest.Start(t, herald.Config{Limits: herald.Limits{MaxChannels: rounds}})
	a, b := srv.Dial(t), srv.Dial(t)
	for i := range rounds {
		room := fmt.Sprintf("presence-race.%d", i)
		a.Subscribe(room, herald.Member{ID: "a"})
		join := wsJoin(room, b.Sign(room, `{"id":"b"}`), "channel_data", `{"id":"b"}`)
		var wg sync.WaitGroup
		wg.Go(func() { _ = b.TrySend(join) })
		wg.Go(func() { _ = a.TrySend(map[string]string{"type": "unsubscribe", "channel": room}) })
		wg.Wait()
		a.Settle()
		var known wsMembers
		for _, m := range b.Settle() {
			known.apply(t, m)
		}
		known.check(t, "b")
	}
}

// A list asked for again is as old as the news that follow it: nobody is added or removed twice.
func TestWebSocketPresenceListAgainFitsTheNews(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{})
	watcher, comes := srv.Dial(t), srv.Dial(t)
	var known wsMembers
	known.apply(t, watcher.Subscribe(wsRoom, herald.Member{ID: "watcher"}))
	join := wsJoin(wsRoom, comes.Sign(wsRoom, `{"id":"x"}`), "channel_data", `{"id":"x"}`)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		for range 300 {
			_ = comes.TrySend(join)
			_ = comes.TrySend(map[string]string{"type": "unsubscribe", "channel": wsRoom})
		}
	})
	for range 300 {
		watcher.Send(map[string]string{"type": "subscribe", "channel": wsRoom})
		for {
			m := watcher.Next()
			known.apply(t, m)
			if m.Type == "subscription_succeeded" {
				break
			}
		}
	}
	wg.Wait()
	comes.Settle()
	for _, m := range watcher.Settle() {
		known.apply(t, m)
	}
	known.check(t, "watcher")
}

// TestWebSocketPresenceWhoDiesWhileSubscribing has 500 connections end at random instants of a
// subscribe. Nobody may stay, and each id is added and removed in turn.
func TestWebSocketPresenceWhoDiesWhileSubscribing(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	registry := prometheus.NewRegistry()
	srv := heraldtest.Start(t, herald.Config{Metrics: registry})
	watcher := srv.Dial(t)
	known := wsMembers{}
	known.apply(t, watcher.Subscribe(wsRoom, herald.Member{ID: "watcher"}))
	var wg sync.WaitGroup
	for worker := range uint64(10) {
		random := rand.New(rand.NewPCG(seed, worker))
		wg.Go(func() {
			for range 50 {
				wsDieWhileSubscribing(t, srv, random)
			}
		})
	}
	wg.Wait()
	wsEventually(t, "the watcher is alone", func() bool {
		open := wsMetric(t, registry, "herald_connections", "transport", "websocket") // one may still have its join unread
		return open == 1 && must(srv.SubscriberCount(t.Context(), wsRoom)) == 1 && len(must(srv.PresenceMembers(t.Context(), wsRoom))) == 1
	})
	for _, m := range watcher.Settle() {
		known.apply(t, m)
	}
	known.check(t, "watcher")
}

// wsDieWhileSubscribing joins as one of twenty members and ends the connection somewhere on the way.
func wsDieWhileSubscribing(t *testing.T, srv *heraldtest.Server, random *rand.Rand) {
	c := srv.Dial(t)
	member := fmt.Sprintf(`{"id":"m%d"}`, random.IntN(20))
	join := fmt.Sprintf(`{"type":"subscribe","channel":%q,"auth":%q,"channel_data":%q}`, wsRoom, c.Sign(wsRoom, member), member)
	frame := wsFrame(ws.OpText, true, join)
	switch random.IntN(6) {
	case 0: // cut in the middle of the message
		wsWrite(c, frame[:random.IntN(len(frame))])
	case 1: // the end right behind it
		wsWrite(c, frame)
	case 2: // a close frame in the same segment
		wsWrite(c, append(frame, wsFrame(ws.OpClose, true, "\x03\xe8")...))
	case 3: // it leaves and joins again
		leave := fmt.Sprintf(`{"type":"unsubscribe","channel":%q}`, wsRoom)
		wsWrite(c, slices.Concat(frame, wsFrame(ws.OpText, true, leave), frame))
	case 4: // a breach that the server closes for
		wsWrite(c, append(frame, wsFrame(ws.OpBinary, true, "x")...))
	case 5: // after the answer
		wsWrite(c, frame)
		if m, err := c.TryNext(); err != nil || !strings.Contains(m.Raw, "subscription_succeeded") {
			t.Errorf("got %s, %v, want to be subscribed", m.Raw, err)
		}
	}
	if random.IntN(2) == 0 {
		wsReset(c.Conn())
	}
	_ = c.Conn().Close()
}
