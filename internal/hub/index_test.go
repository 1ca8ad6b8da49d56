package hub_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/herald-events/herald/internal/hub"
	"github.com/herald-events/herald/internal/pattern"
	"github.com/herald-events/herald/internal/socket"
)

func TestCounts(t *testing.T) {
	r := newRig(t, 2)
	clients := make([]*client, 0, 10)
	for i := range 10 {
		c := r.join(fmt.Sprint("c", i))
		c.subscribe("all", fmt.Sprint("odd or even ", i%2), fmt.Sprint("own ", i))
		clients = append(clients, c)
	}
	counts := func() map[string]int {
		got := map[string]int{}
		r.hub.Channels(func(channel string, subscribers int) {
			if got[channel] = subscribers; r.hub.Count(channel) != subscribers {
				t.Errorf("Count(%q) = %d, Channels says %d", channel, r.hub.Count(channel), subscribers)
			}
		})
		return got
	}
	want := map[string]int{"all": 10, "odd or even 0": 5, "odd or even 1": 5}
	for i := range 10 {
		want[fmt.Sprint("own ", i)] = 1
	}
	if got := counts(); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if s := r.hub.Stats(); s.Channels != len(want) || s.Subscriptions != 30 {
		t.Errorf("got %+v, want %d channels with 30 subscriptions", s, len(want))
	}
	clients[0].do(func(sub *hub.Subscriber) {
		sub.Unsubscribe("all")
		sub.Unsubscribe("never subscribed to")
		if sub.Subscribed("all") || !sub.Subscribed("own 0") || sub.Channels() != 2 {
			t.Errorf("it is in %d channels after it has left one of three", sub.Channels())
		}
	})
	for _, c := range clients[1:] {
		_ = c.conn.Close()
		<-c.closed
	}
	if got, want := counts(), (map[string]int{"odd or even 0": 1, "own 0": 1}); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := r.hub.Count("all"); got != 0 {
		t.Errorf("%d are subscribed to a channel that everybody has left", got)
	}
}

func TestSubscribers(t *testing.T) {
	r := newRig(t, 2)
	for _, id := range []string{"a", "b", "c"} {
		r.join(id).subscribe("x")
	}
	r.join("d").subscribe("y")
	got, err := r.hub.Subscribers(t.Context(), "x")
	slices.Sort(got)
	if want := []string{"a", "b", "c"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if got, err := r.hub.Subscribers(t.Context(), "nobody's"); err != nil || len(got) > 0 {
		t.Errorf("got %q, %v, want none", got, err)
	}
}

func TestClose(t *testing.T) {
	r := newRig(t, 2)
	why := socket.Reason{Code: 4410, Text: "disconnected"}
	clients := map[string]*client{}
	for _, id := range []string{"ann1", "ann2", "ann3", "bob1", "nobody"} {
		clients[id] = r.join(id)
	}
	for id, user := range map[string]string{"ann1": "ann", "ann2": "ann", "ann3": "ann", "bob1": "bob"} {
		clients[id].do(func(sub *hub.Subscriber) { sub.SetUser(user, false) })
	}
	clients["ann3"].do(func(sub *hub.Subscriber) { sub.SetUser("bob", false) }) // and not ann any more
	count := func(n int, err error) int {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
		return n
	}
	if n := count(r.hub.CloseUser(t.Context(), "ann", why)); n != 2 {
		t.Errorf("closed %d connections of a user, want 2", n)
	}
	if n := count(r.hub.CloseUser(t.Context(), "", why)); n != 0 {
		t.Errorf("closed %d connections of nobody, want 0", n)
	}
	if n := count(r.hub.CloseConnection(t.Context(), "nobody", why)); n != 1 {
		t.Errorf("closed %d connections by an id, want 1", n)
	}
	for _, id := range []string{"ann1", "ann2", "nobody"} {
		clients[id].want("closed")
		if got := <-clients[id].closed; got != why {
			t.Errorf("%s was closed for %v, want %v", id, got, why)
		}
	}
	if n := count(r.hub.CloseConnection(t.Context(), "nobody", why)); n != 0 {
		t.Errorf("closed %d connections that are gone, want 0", n)
	}
	for _, id := range []string{"ann3", "bob1"} {
		clients[id].do(func(sub *hub.Subscriber) {
			if sub.Conn.Closed() {
				t.Errorf("%s was closed with somebody else's", id)
			}
		})
	}
}

func TestDoAndEach(t *testing.T) {
	r := newRig(t, 2)
	for i := range 5 {
		r.join(fmt.Sprint("c", i))
	}
	var seen string
	found, err := r.hub.Do(t.Context(), "c3", func(sub *hub.Subscriber) { seen = sub.ID })
	if err != nil || !found || seen != "c3" {
		t.Errorf("got %q, %v, %v, want c3", seen, found, err)
	}
	found, err = r.hub.Do(t.Context(), "stranger", func(*hub.Subscriber) { t.Error("a stranger was found") })
	if err != nil || found {
		t.Errorf("got %v, %v, want nobody", found, err)
	}
	var n atomic.Int32
	if err := r.hub.Each(t.Context(), func(*hub.Subscriber) { n.Add(1) }); err != nil || n.Load() != 5 {
		t.Errorf("got %d connections, %v, want 5", n.Load(), err)
	}
	resume := r.pause()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.hub.Each(ctx, func(*hub.Subscriber) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	resume()
	r.stop()
	if err := r.hub.Each(t.Context(), func(*hub.Subscriber) { t.Error("there is somebody after the end") }); !errors.Is(err, hub.ErrEnded) {
		t.Errorf("got %v, want %v", err, hub.ErrEnded)
	}
}

// listen has a client listen to patterns, of one owner's events alone where there is one.
func (c *client) listen(owner string, patterns ...string) (newest string) {
	c.r.t.Helper()
	to := make([]hub.Listening, 0, len(patterns))
	for _, text := range patterns {
		p, err := pattern.Parse(text)
		if err != nil {
			c.r.t.Fatal(err)
		}
		to = append(to, hub.Listening{Pattern: p, Owner: owner})
	}
	c.do(func(sub *hub.Subscriber) { newest = sub.Listen(to, nil) })
	return newest
}

// publish publishes an event whose text is its id, and with identity its id and "full".
func (r *rig) publish(id, eventType string, owners ...string) *hub.Delivered {
	r.t.Helper()
	delivered := &hub.Delivered{}
	err := r.hub.PublishEvent(r.t.Context(), hub.Event{
		ID: id, Type: eventType, Owners: owners,
		Plain: socket.NewFrame(said(id)), Full: socket.NewFrame(said(id + " full")), Delivered: delivered,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return delivered
}

func TestEventReachesAConnectionOnce(t *testing.T) {
	r := newRig(t, 2)
	c, other := r.join("c"), r.join("other")
	c.listen("", "**", "user.*", "user.created")
	other.listen("", "login.*")
	delivered := r.publish("1", "user.created", "ann")
	r.publish("2", "order.paid")
	r.publish("3", "login.failed")
	c.wantAll("1", "2", "3")
	other.wantAll("3")
	if n := delivered.WebSocket.Load(); n != 1 {
		t.Errorf("delivered to %d sockets, want 1", n)
	}
	c.listen("")
	r.publish("4", "user.created")
	c.wantAll()
}

func TestOwnEventsAlone(t *testing.T) {
	r := newRig(t, 2)
	ann, bob := r.join("ann"), r.join("bob")
	ann.listen("ann", "**", "user.*")
	bob.listen("bob", "user.*")
	r.publish("1", "user.updated", "ann")
	r.publish("2", "user.updated", "bob", "ann")
	r.publish("3", "login.failed", "bob")
	r.publish("4", "user.updated")
	ann.wantAll("1", "2")
	bob.wantAll("2")
	ann.listen("ann", "login.*")
	r.publish("5", "user.updated", "ann")
	r.publish("6", "login.failed", "ann")
	ann.wantAll("6")
}

func TestIdentityForWhomMaySeeIt(t *testing.T) {
	r := newRig(t, 2)
	sees, not := r.join("sees"), r.join("not")
	sees.do(func(sub *hub.Subscriber) { sub.SetUser("ann", true) })
	not.do(func(sub *hub.Subscriber) { sub.SetUser("ann", false) })
	sees.listen("", "**")
	not.listen("", "**")
	r.publish("1", "user.updated")
	sees.wantAll("1 full")
	not.wantAll("1")
}

// TestListenTellsTheNewestEvent: who listens gets everything after it and nothing up to it.
func TestListenTellsTheNewestEvent(t *testing.T) {
	r := newRig(t, 2)
	c := r.join("c")
	if newest := c.listen("", "user.*"); newest != "" {
		t.Errorf("before the first event the newest is %q", newest)
	}
	c.listen("")
	resume := r.pause()
	r.publish("1", "order.paid")
	p, err := pattern.Parse("**")
	if err != nil {
		t.Fatal(err)
	}
	newest := make(chan string, 1)
	c.post(func(sub *hub.Subscriber) { newest <- sub.Listen([]hub.Listening{{Pattern: p}}, nil) })
	r.publish("2", "order.paid")
	resume()
	if got := <-newest; got != "1" {
		t.Errorf("the newest event is %q, want 1", got)
	}
	c.wantAll("2")
}

func TestStatsCountDeliveries(t *testing.T) {
	r := newRig(t, 2)
	clients := []*client{r.join("a"), r.join("b"), r.join("c")}
	for _, c := range clients {
		c.subscribe("a")
		c.listen("", "**")
	}
	r.broadcast(message("a", "1"), message("a", "2"))
	r.publish("e", "order.paid")
	for _, c := range clients {
		c.do(func(*hub.Subscriber) {})
		c.do(func(*hub.Subscriber) {}) // a turn after the last delivery
	}
	if got, want := r.hub.Stats().DeliveredToSocket, uint64(9); got != want {
		t.Errorf("%d messages were handed to sockets, want %d", got, want)
	}
}
