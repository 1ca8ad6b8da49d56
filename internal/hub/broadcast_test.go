package hub_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/herald-events/herald/internal/hub"
	"github.com/herald-events/herald/internal/socket"
)

// TestEverySubscriberSeesOneOrder has publishers race, and subscribers on many loops.
func TestEverySubscriberSeesOneOrder(t *testing.T) {
	const publishers, messages, loops = 8, 1000, 8
	overLinks(t, loops, func(t *testing.T, r *rig) {
		clients := make([]*client, 0, loops)
		for i := range loops {
			c := r.join(fmt.Sprint("c", i))
			c.subscribe("a", "b")
			clients = append(clients, c)
		}
		var wg sync.WaitGroup
		for p := range publishers {
			wg.Go(func() {
				for i := range messages {
					r.broadcast(message("a", fmt.Sprintf("%d/%d", p, i)))
				}
			})
		}
		wg.Wait()
		order := make([]string, publishers*messages)
		for i := range order {
			order[i] = clients[0].next()
		}
		for _, c := range clients[1:] {
			c.want(order...)
		}
		for p := range publishers { // and each publisher's are in its own order
			i := 0
			for _, text := range order {
				if text == fmt.Sprintf("%d/%d", p, i) {
					i++
				}
			}
			if i != messages {
				t.Errorf("publisher %d: %d of %d messages are in order", p, i, messages)
			}
		}
	})
}

// TestBatch broadcasts on several channels, all in one turn.
func TestBatch(t *testing.T) {
	overLinks(t, 2, func(t *testing.T, r *rig) {
		one, both := r.join("one"), r.join("both")
		one.subscribe("a")
		both.subscribe("a", "b")
		resume := r.pause()
		r.broadcast(message("a", "a1"), message("b", "b1"), message("c", "nobody's"))
		r.broadcast(message("a", "a2"))
		r.broadcast(message("b", "b2"), message("a", "a3"))
		resume()
		one.want("a1", "a2", "a3")
		both.want("a1", "b1", "a2", "b2", "a3")
	})
}

// TestOneOrderOverAllChannels holds every connection against the order of the posts, while they
// subscribe and unsubscribe and events come in between.
func TestOneOrderOverAllChannels(t *testing.T) {
	overLinks(t, 1, func(t *testing.T, r *rig) {
		channels := []string{"a", "b", "c", "d"}
		clients := make([]*client, 6)
		want := make([][]string, len(clients))
		for i := range clients {
			clients[i] = r.join(fmt.Sprint("client ", i))
			clients[i].listen("", "*")
		}
		random := rand.New(rand.NewPCG(1, 2))
		subscribed := make([]map[string]bool, len(clients))
		resume := r.pause()
		for n := range 2000 {
			i, channel := random.IntN(len(clients)), channels[random.IntN(len(channels))]
			switch random.IntN(8) {
			case 0:
				clients[i].post(func(sub *hub.Subscriber) { sub.Subscribe(channel) })
				if subscribed[i] == nil {
					subscribed[i] = map[string]bool{}
				}
				subscribed[i][channel] = true
			case 1:
				clients[i].post(func(sub *hub.Subscriber) { sub.Unsubscribe(channel) })
				delete(subscribed[i], channel)
			case 2:
				text := fmt.Sprint("event ", n)
				r.publish(text, "said")
				for i := range clients {
					want[i] = append(want[i], text)
				}
			default:
				text := fmt.Sprint(channel, n)
				m := message(channel, text)
				if n%5 == 0 {
					m.Except = fmt.Sprint("client ", i)
				}
				r.hub.Announce(m) // whoever is counted by then
				for i := range clients {
					if subscribed[i][channel] && m.Except != fmt.Sprint("client ", i) {
						want[i] = append(want[i], text)
					}
				}
			}
		}
		resume()
		for i, c := range clients {
			c.wantAll(want[i]...)
		}
	})
}

// TestLargeBatch is more than a turn writes at once.
func TestLargeBatch(t *testing.T) {
	overLinks(t, 1, func(t *testing.T, r *rig) {
		c := r.join("c")
		c.subscribe("a")
		large := make([]byte, 50<<10)
		var want []string
		resume := r.pause()
		for i := range 20 {
			text := fmt.Sprintf("%d %x", i, large)
			r.broadcast(message("a", text))
			want = append(want, text)
		}
		resume()
		c.want(want...)
	})
}

func TestExcept(t *testing.T) {
	overLinks(t, 2, func(t *testing.T, r *rig) {
		ann, bob := r.join("ann"), r.join("bob")
		ann.subscribe("a")
		bob.subscribe("a")
		except := func(text, id string) hub.Message {
			m := message("a", text)
			m.Except = id
			return m
		}
		resume := r.pause()
		r.broadcast(message("a", "1"))
		r.broadcast(except("2", "ann"))
		if !r.hub.TryBroadcast(except("3", "bob")) {
			t.Error("there is no room for a message")
		}
		r.broadcast(message("a", "4"))
		r.hub.Announce(except("5", "somebody who has left"))
		resume()
		ann.want("1", "3", "4", "5")
		bob.want("1", "2", "4", "5")
	})
}

// TestSubscribeInTheMiddleOfABatch: exactly what is said while a connection is subscribed reaches it.
func TestSubscribeInTheMiddleOfABatch(t *testing.T) {
	overLinks(t, 2, func(t *testing.T, r *rig) {
		always := []*client{r.join("one loop"), r.join("other loop")} // or no loop would be told
		for _, c := range always {
			c.subscribe("a")
		}
		clients := []*client{r.join("on the one"), r.join("on the other")}
		resume := r.pause()
		r.broadcast(message("a", "before"))
		for _, c := range clients {
			c.post(func(sub *hub.Subscriber) { sub.Subscribe("a"); sub.Subscribe("a") })
		}
		r.broadcast(message("a", "1"))
		r.broadcast(message("a", "2"))
		for _, c := range clients {
			c.post(func(sub *hub.Subscriber) { sub.Unsubscribe("a"); sub.Unsubscribe("a") })
		}
		r.broadcast(message("a", "between"))
		for _, c := range clients {
			c.post(func(sub *hub.Subscriber) { sub.Subscribe("a") })
		}
		r.broadcast(message("a", "3"))
		for _, c := range clients {
			c.post(func(sub *hub.Subscriber) { sub.Leave() })
		}
		r.broadcast(message("a", "after"))
		resume()
		for _, c := range clients {
			c.wantAll("1", "2", "3")
		}
		for _, c := range always {
			c.wantAll("before", "1", "2", "between", "3", "after")
		}
	})
}

// TestBroadcastNeedsNoOtherLoop: one without a subscriber may be busy for ever. What is said is more than
// all inboxes have room for, which only a delivery gives back.
func TestBroadcastNeedsNoOtherLoop(t *testing.T) {
	r := newRig(t, 2)
	listens, other := r.join("listens"), r.join("other")
	listens.subscribe("a")
	gate := make(chan struct{})
	defer close(gate)
	other.post(func(*hub.Subscriber) { <-gate })
	large := message("a", "large")
	large.Size = 40 << 20
	for range 4 {
		r.broadcast(large)
		listens.want("large")
	}
}

// TestCloseInTheMiddleOfABatch: the others get everything.
func TestCloseInTheMiddleOfABatch(t *testing.T) {
	overLinks(t, 1, func(t *testing.T, r *rig) {
		stays, goes := r.join("stays"), r.join("goes")
		stays.subscribe("a")
		goes.subscribe("a")
		resume := r.pause()
		r.broadcast(message("a", "1"))
		goes.post(func(sub *hub.Subscriber) { sub.Conn.Close(socket.GoingAway) })
		r.broadcast(message("a", "2"))
		resume()
		stays.want("1", "2")
		goes.want("closed")
		if got := <-goes.closed; got != socket.GoingAway {
			t.Errorf("closed for %v, want %v", got, socket.GoingAway)
		}
		if n := r.hub.Count("a"); n != 1 {
			t.Errorf("%d subscribers are left, want 1", n)
		}
	})
}

// TestPublisherWaitsForRoom has the loops stand still until the inbox is full.
func TestPublisherWaitsForRoom(t *testing.T) {
	r := newRig(t, 2)
	c := r.join("c")
	c.subscribe("a")
	resume := r.pause()
	large := func(text string) hub.Message {
		m := message("a", text)
		m.Size = 1 << 40 // it says; more than there is counts as all that there is
		return m
	}
	r.broadcast(large("1"))

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	err := r.hub.Broadcast(ended, message("a", "refused"))
	if !errors.Is(err, hub.ErrFull) || !errors.Is(err, context.Canceled) {
		t.Errorf("without room: got %v, want %v and the context's error", err, hub.ErrFull)
	}
	if err := r.hub.PublishEvent(ended, hub.Event{}); !errors.Is(err, hub.ErrFull) {
		t.Errorf("an event without room: got %v, want %v", err, hub.ErrFull)
	}
	if r.hub.TryBroadcast(message("a", "refused")) {
		t.Error("TryBroadcast has found room where there is none")
	}
	if err := r.hub.Broadcast(ended, message("nobody's", "x")); err != nil {
		t.Errorf("what reaches nobody needs no room: got %v", err)
	}
	r.hub.Announce(message("a", "2"))
	waited := make(chan error, 1)
	go func() { waited <- r.hub.Broadcast(t.Context(), large("3")) }()
	select {
	case err := <-waited:
		t.Fatalf("a publisher did not wait for room: %v", err)
	default:
	}
	resume()
	if err := <-waited; err != nil {
		t.Errorf("a publisher that waits: %v", err)
	}
	r.broadcast(large("4")) // all of the room has come back
	c.wantAll("1", "2", "3", "4")
}

func TestRoomComesBackFromEndedLoops(t *testing.T) {
	r := newRig(t, 2)
	c := r.join("c")
	c.subscribe("a")
	resume := r.pause()
	all := message("a", "x")
	all.Size = 1 << 40
	r.broadcast(all)
	resume()
	r.stop()
	for range 3 {
		if !r.hub.TryBroadcast(all) {
			t.Fatal("the room of the last message has not come back")
		}
	}
}
