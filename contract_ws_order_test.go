package herald_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

// Four publishers at once: every subscriber gets everything, and of each publisher in its order.
func TestWebSocketPublishersOrder(t *testing.T) {
	const publishers, messages, readers = 4, 250, 6
	srv := heraldtest.Start(t, herald.Config{})
	var clients []*heraldtest.Client
	for range readers {
		c := srv.Dial(t)
		c.Subscribe("orders")
		clients = append(clients, c)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	for p := range publishers {
		wg.Go(func() {
			for i := range messages {
				if err := srv.Broadcast(t.Context(), "orders", fmt.Sprint(p), i); err != nil {
					t.Errorf("broadcast: %v", err)
				}
			}
		})
	}
	for _, c := range clients {
		next := map[string]int{}
		for range publishers * messages {
			m := c.Next()
			if string(m.Data) != fmt.Sprint(next[m.Name()]) {
				t.Fatalf("got %s, want number %d of its publisher", m.Raw, next[m.Name()])
			}
			next[m.Name()]++
		}
		c.Quiet()
	}
}

// Domain events are one ordered stream: every connection sees the same order, whoever publishes.
func TestWebSocketEventsHaveOneOrder(t *testing.T) {
	const publishers, events, readers = 4, 250, 6
	srv := heraldtest.Start(t, herald.Config{})
	var clients []*heraldtest.Client
	for i := range readers {
		claims := map[string]any{"events": []string{"**"}, "scope": []string{"", "events:identity"}[i%2]}
		c := wsUser(t, srv, "ann", claims)
		c.Send(map[string]any{"type": "subscribe", "events": [][]string{{"*"}, {"login.*", "user.*"}}[i/2%2]})
		wsNextSubscribed(t, c)
		clients = append(clients, c)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	for p := range publishers {
		wg.Go(func() {
			for i := range events {
				wsPublish(t, srv, herald.Event{ID: fmt.Sprintf("evt-%d-%d", p, i), UserID: "ann", Payload: []herald.Payload{
					herald.LoginFailed{Email: "x"}, herald.UserRegistered{UserID: "x"},
				}[i%2]})
			}
		})
	}
	var first []string
	for _, c := range clients {
		order := make([]string, 0, publishers*events)
		next := map[int]int{}
		for range publishers * events {
			var p, i int
			m := c.Next()
			var event struct{ ID string }
			if err := json.Unmarshal(m.Event, &event); err != nil {
				t.Fatalf("got %s: %v", m.Raw, err)
			}
			if _, err := fmt.Sscanf(event.ID, "evt-%d-%d", &p, &i); err != nil || i != next[p] {
				t.Fatalf("got %s, want number %d of its publisher", m.Raw, next[p])
			}
			next[p]++
			order = append(order, event.ID)
		}
		c.Quiet()
		if first == nil {
			first = order
		}
		if !slices.Equal(order, first) {
			t.Fatal("two connections saw two orders")
		}
	}
}

// A client's events reach every other subscriber in the order in which it sent them, between what
// the server says.
func TestWebSocketClientEventsOrder(t *testing.T) {
	const messages = 300
	srv := heraldtest.Start(t, herald.Config{ClientEvents: herald.ClientEvents{Rate: messages}})
	from := srv.Dial(t)
	from.Subscribe("private-chat")
	var to []*heraldtest.Client
	for range 3 {
		c := srv.Dial(t)
		c.Subscribe("private-chat")
		to = append(to, c)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		for i := range messages {
			_ = srv.Broadcast(t.Context(), "private-chat", "server", i) // the readers tell what is missing
		}
	})
	wg.Go(func() {
		for i := range messages {
			_ = from.TrySend(wsSay("private-chat", "client", fmt.Sprint(i)))
		}
	})
	for _, c := range to {
		next := map[string]int{}
		for range 2 * messages {
			m := c.Next()
			if string(m.Data) != fmt.Sprint(next[m.Name()]) {
				t.Fatalf("got %s, want number %d of its sender", m.Raw, next[m.Name()])
			}
			next[m.Name()]++
		}
		c.Quiet()
	}
}

// What is broadcast after the answer to a subscribe arrives, and what is broadcast after the answer to
// an unsubscribe does not, however busy the channel is.
func TestWebSocketSubscriptionBeginsAndEndsWithItsAnswer(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{})
	c := srv.Dial(t)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(stop)
	// The reader lets the noise go on: a reader that is scheduled too seldom is no slow consumer here.
	const outstanding = 1000
	tokens := make(chan struct{}, outstanding)
	allow := func(messages int) {
		for range messages {
			select {
			case tokens <- struct{}{}:
			default:
				return
			}
		}
	}
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-tokens:
				_ = srv.Broadcast(t.Context(), "busy", "noise", 0)
			}
		}
	})
	until := func(typ, name string) {
		t.Helper()
		for {
			m := c.Next()
			if m.Type == typ && m.Name() == name {
				return
			}
			if m.Name() != "noise" || m.Channel != "busy" {
				t.Fatalf("got %s, want %s %s or noise", m.Raw, typ, name)
			}
			allow(1)
		}
	}
	for range 10 {
		allow(outstanding) // nobody counts what was said while nobody was subscribed
		c.Send(`{"type":"subscribe","channel":"busy"}`)
		if m := c.Next(); m.Type != "subscription_succeeded" {
			t.Fatalf("got %s, want the answer before every message", m.Raw)
		}
		if err := srv.Broadcast(t.Context(), "busy", "mark", nil); err != nil {
			t.Fatal(err)
		}
		until("event", "mark")
		c.Send(`{"type":"unsubscribe","channel":"busy"}`)
		until("unsubscribed", "")
		c.Quiet() // nothing comes behind it
	}
}

func TestWebSocketBroadcastExcept(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{})
	var clients []*heraldtest.Client
	for range 4 {
		c := srv.Dial(t)
		c.Subscribe("orders")
		clients = append(clients, c)
	}
	for i, except := range append(clients, &heraldtest.Client{SocketID: ""}, &heraldtest.Client{SocketID: "1.1"}) {
		for _, say := range []struct{ event, except string }{{"all", ""}, {"others", except.SocketID}, {"all", ""}} {
			if err := srv.BroadcastExcept(t.Context(), "orders", say.event, i, say.except); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range clients {
			c.Expect(wsSaid("orders", "all", fmt.Sprint(i)))
			if c != except {
				c.Expect(wsSaid("orders", "others", fmt.Sprint(i)))
			}
			c.Expect(wsSaid("orders", "all", fmt.Sprint(i)))
			c.Quiet()
		}
	}
}

func TestWebSocketBroadcastToMany(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{Limits: herald.Limits{MaxChannels: 1000}})
	c := srv.Dial(t)
	var channels []string
	for i := range 1000 {
		channels = append(channels, fmt.Sprintf("many.%d", i))
	}
	for _, channel := range channels[:500] {
		c.Subscribe(channel)
	}
	if err := srv.BroadcastToMany(t.Context(), channels, "e", 1); err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, m := range c.Settle() {
		got[m.Channel] = true
	}
	if len(got) != 500 {
		t.Errorf("got messages on %d channels, want 500", len(got))
	}
	for name, bad := range map[string][]string{
		"none": {}, "too many": append(channels, "one-more"), "a bad name": {"many.1", "a b", "many.2"},
	} {
		var refused *herald.Error
		if err := srv.BroadcastToMany(t.Context(), bad, "e", 2); !errors.As(err, &refused) {
			t.Errorf("%s: got %v, want a refusal", name, err)
		}
	}
	c.Quiet() // one bad name and nothing is said
}

func TestWebSocketBroadcastRefusals(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{Limits: herald.Limits{MaxPayloadSize: 1024}})
	c := srv.Dial(t)
	c.Subscribe("orders")
	tests := []struct {
		name, channel, event string
		data                 any
		code                 herald.Code
	}{
		{"bad channel", "a b", "e", 1, herald.CodeBadChannel},
		{"empty event", "orders", "", 1, herald.CodeBadMessage},
		{"event with CR LF", "orders", "a\r\nb", 1, herald.CodeBadMessage},
		{"event that is not UTF-8", "orders", "\xff", 1, herald.CodeBadMessage},
		{"data that does not encode", "orders", "e", func() {}, herald.CodeBadRequest},
		{"data that is no JSON", "orders", "e", json.RawMessage(`{`), herald.CodeBadRequest},
		{"data that is not UTF-8", "orders", "e", json.RawMessage("\"\xff\""), herald.CodeBadRequest},
		{"too much data", "orders", "e", strings.Repeat("x", 1024), herald.CodeTooLarge},
	}
	for _, tt := range tests {
		if err := srv.Broadcast(t.Context(), tt.channel, tt.event, tt.data); !errors.Is(err, &herald.Error{Code: tt.code}) {
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.code)
		}
	}
	c.Quiet()
	for _, data := range []string{`1.0`, `1e400`, `123456789012345678901234567890`, `{"b":1,"a":"ä\u2028"}`, "\"\u2028\""} {
		if err := srv.Broadcast(t.Context(), "orders", "member_added", json.RawMessage(data)); err != nil {
			t.Fatal(err)
		}
		if m := c.Next(); string(m.Data) != data {
			t.Errorf("got %s, want the data %s", m.Raw, data)
		}
	}
}
