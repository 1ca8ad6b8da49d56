package herald_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

// TestWebSocketStress has 50 connections at a time that connect, subscribe, talk, stall and die at
// random. In the end nothing of them is left, and every steady reader has got every message, in order.
func TestWebSocketStress(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	before := runtime.NumGoroutine()
	t.Run("clients", func(t *testing.T) { stressWebSockets(t, seed) })
	for deadline := time.Now().Add(wsPatience); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines are left over:\n%s", runtime.NumGoroutine()-before, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

func stressWebSockets(t *testing.T, seed uint64) {
	const workers, lives, steady, messages = 50, 16, 4, 4000
	srv := heraldtest.Start(t, herald.Config{Limits: herald.Limits{MaxQueue: 1 << 20}})
	var readers []*heraldtest.Client
	for range steady {
		c := srv.Dial(t)
		c.Subscribe("feed")
		readers = append(readers, c)
	}
	watcher := srv.Dial(t)
	known := wsMembers{}
	known.apply(t, watcher.Subscribe(wsRoom, herald.Member{ID: "watcher"}))

	var wg sync.WaitGroup
	for _, c := range readers {
		wg.Go(func() { wsReadFeedOf(t, c, messages) })
	}
	wg.Go(func() {
		for i := range messages {
			if err := srv.Broadcast(t.Context(), "feed", "n", i); err != nil {
				t.Errorf("broadcast: %v", err)
			}
		}
	})
	for i := range uint64(workers) {
		wg.Go(func() {
			m := &monkey{t: t, srv: srv, random: rand.New(rand.NewPCG(seed, i)), member: fmt.Sprint("m", i%20)}
			for range lives {
				m.live()
			}
		})
	}
	wg.Wait()

	for _, c := range readers {
		c.Quiet()
	}
	wsEventually(t, "only the steady are subscribed", func() bool {
		return must(srv.SubscriberCount(t.Context(), "feed")) == steady && must(srv.SubscriberCount(t.Context(), wsRoom)) == 1 &&
			len(must(srv.Channels(t.Context()))) == 2 && len(must(srv.PresenceMembers(t.Context(), wsRoom))) == 1
	})
	for _, m := range watcher.Settle() {
		if m.Name() == "member_added" || m.Name() == "member_removed" {
			known.apply(t, m)
		}
	}
	known.check(t, "watcher")
}

// wsReadFeedOf reads every message of a feed, in order.
func wsReadFeedOf(t *testing.T, c *heraldtest.Client, messages int) {
	for want := range messages {
		m, err := c.TryNext()
		if err != nil || string(m.Data) != fmt.Sprint(want) {
			t.Errorf("a steady reader got %s, %v, want message %d", m.Raw, err, want)
			return
		}
	}
}

// monkey is a client that does anything, one life after the other.
type monkey struct {
	t      *testing.T
	srv    *heraldtest.Server
	random *rand.Rand
	member string
}

func (m *monkey) live() {
	c := m.srv.Dial(m.t)
	for range m.random.IntN(12) {
		if m.act(c) != nil {
			break // the server, or a disconnect, was faster
		}
	}
	m.die(c)
}

// act does one thing. An error means that the connection is over, which may be.
func (m *monkey) act(c *heraldtest.Client) error {
	switch m.random.IntN(10) {
	case 0:
		return c.TrySend(`{"type":"subscribe","channel":"feed"}`)
	case 1:
		return c.TrySend(`{"type":"unsubscribe","channel":"feed"}`)
	case 2:
		member := fmt.Sprintf(`{"id":%q,"info":%d}`, m.member, m.random.IntN(10))
		return c.TrySend(wsJoin(wsRoom, c.Sign(wsRoom, member), "channel_data", member))
	case 3:
		return c.TrySend(map[string]string{"type": "unsubscribe", "channel": wsRoom})
	case 4:
		return c.TrySend(wsSay(wsRoom, "hi", fmt.Sprintf("%q", strings.Repeat("x", m.random.IntN(500)))))
	case 5:
		if err := c.TrySend(map[string]string{"type": "auth", "token": m.srv.Token(m.member, wsAll)}); err != nil {
			return err
		}
		return c.TrySend(`{"type":"subscribe","events":["**"]}`)
	case 6:
		return m.srv.Publish(m.t.Context(), herald.LoginFailed{Email: m.member})
	case 7:
		return m.srv.BroadcastExcept(m.t.Context(), "other", "e", nil, c.SocketID)
	case 8:
		return c.TrySend(`nonsense`)
	default:
		return wsTryPing(c) // reads what has come
	}
}

// die ends the connection in one of many ways; unread messages may be left.
func (m *monkey) die(c *heraldtest.Client) {
	switch m.random.IntN(6) {
	case 0:
		wsReset(c.Conn())
	case 1:
		wsWrite(c, wsFrame(ws.OpClose, true, wsClose(1000, "bye")))
	case 2:
		wsWrite(c, wsFrame(ws.OpText, false, `{"type":`)) // in the middle of a message
	case 3:
		wsWrite(c, wsHeader(0x81, 0xfe, 0xff)) // in the middle of a header
	case 4:
		if _, err := m.srv.Disconnect(m.t.Context(), c.SocketID); err != nil {
			m.t.Errorf("disconnect: %v", err)
		}
	}
	_ = c.Conn().Close()
}
