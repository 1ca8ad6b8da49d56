package herald_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

// These are the sentences under "Promises" in doc.go, a test each. How each is kept in its corners is
// the business of the contract tests.

const promisedChannel = "a"

func TestBroadcastNeverWaitsForASubscriber(t *testing.T) {
	srv, slow := startOverwhelmed(t)
	overwhelm(t, srv, func(string) {})
	slow.ExpectClose(4408)
}

func TestSlowSubscriberNeverDelaysAnother(t *testing.T) {
	srv, slow := startOverwhelmed(t)
	socket, stream := srv.Dial(t), srv.Stream(t)
	socket.Subscribe(promisedChannel)
	stream.Subscribe(promisedChannel)
	overwhelm(t, srv, func(name string) { // the next is said when the others have this one
		for _, got := range []string{socket.Next().Name(), stream.NextMessage().Name()} {
			if got != name {
				t.Fatalf("got message %s, want %s", got, name)
			}
		}
	})
	slow.ExpectClose(4408)
}

// startOverwhelmed starts a server with a subscriber, of whom nothing will be read.
func startOverwhelmed(t *testing.T) (*heraldtest.Server, *heraldtest.Client) {
	t.Helper()
	srv := startQuiet(t, herald.Config{Limits: herald.Limits{MaxQueue: 64 << 10}})
	slow := srv.Dial(t)
	slow.Subscribe(promisedChannel)
	return srv, slow
}

// overwhelm broadcasts until one subscriber has left, and runs after behind each message.
func overwhelm(t *testing.T, srv *heraldtest.Server, after func(name string)) {
	t.Helper()
	const messages = 2000 // of 64 KiB: more than the kernel keeps for who does not read
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	data := strings.Repeat("x", 64<<10)
	all := must(srv.SubscriberCount(t.Context(), promisedChannel))
	for i := range messages {
		if must(srv.SubscriberCount(t.Context(), promisedChannel)) < all {
			return
		}
		name := strconv.Itoa(i)
		if err := srv.Broadcast(ctx, promisedChannel, name, data); err != nil {
			t.Fatalf("broadcast %s: %v", name, err)
		}
		after(name)
	}
	t.Fatalf("%d messages were said, and who does not read is still there", messages)
}

// Whatever would grow has an end, and the client is told of it.
func TestMemoryPerConnectionIsBounded(t *testing.T) {
	const most = 8
	srv := startQuiet(t, herald.Config{Limits: herald.Limits{MaxChannels: most, MaxPayloadSize: 128 << 10, MaxQueue: 64 << 10}})
	many := func(list []string) string { return `["` + strings.Join(list, `","`) + `"]` }
	tests := []struct {
		name string
		do   func(*testing.T, *heraldtest.Client)
	}{
		{"a message without end", func(_ *testing.T, c *heraldtest.Client) {
			part := strings.Repeat("x", 32<<10)
			c.SendFrame(ws.NewFrame(ws.OpText, false, []byte(part)))
			for range 4 {
				c.SendFrame(ws.NewFrame(ws.OpContinuation, false, []byte(part)))
			}
			c.ExpectClose(1009)
		}},
		{"channels without end", func(_ *testing.T, c *heraldtest.Client) {
			for i := range most {
				c.Subscribe("c" + strconv.Itoa(i))
			}
			c.Send(`{"type":"subscribe","channel":"one-more"}`)
			c.ExpectCode("limit_reached")
		}},
		{"patterns without end", func(_ *testing.T, c *heraldtest.Client) {
			c.Authenticate(srv.Token("ann", allEvents))
			var patterns []string
			for i := range 101 {
				patterns = append(patterns, "t"+strconv.Itoa(i))
			}
			c.Send(`{"type":"subscribe","events":` + many(patterns) + `}`)
			c.ExpectCode("limit_reached")
		}},
		{"mistakes without end", func(_ *testing.T, c *heraldtest.Client) {
			for range 100 {
				c.Send(`{"type":"nonsense"}`)
				c.ExpectCode("bad_message")
			}
			c.ExpectClose(4400)
		}},
		{"messages that are not read", func(t *testing.T, c *heraldtest.Client) {
			c.Subscribe(promisedChannel)
			overwhelm(t, srv, func(string) {})
			c.ExpectClose(4408)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.do(t, srv.Dial(t)) })
	}
}

func TestEverySubscriberSeesTheSameOrder(t *testing.T) {
	const publishers, each = 4, 50
	srv := startQuiet(t, herald.Config{})
	var said, events []func() string
	for range 2 {
		socket, stream := srv.Dial(t), srv.Stream(t)
		socket.Subscribe(promisedChannel)
		stream.Subscribe(promisedChannel)
		said = append(said, func() string { return socket.Next().Raw }, func() string { return stream.Next().Data })
		listener := eventStream(t, srv, "", srv.Token("ann", allEvents))
		events = append(events, func() string { return listener.Next().ID })
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	for p := range publishers {
		wg.Go(func() {
			for i := range each {
				broadcast(t, srv, promisedChannel, "e", fmt.Sprintf("%d-%d", p, i))
				publish(t, srv, herald.Event{ID: fmt.Sprintf("%d-%d", p, i), Type: "a"})
			}
		})
	}
	checkOneOrder(t, said, publishers*each)
	checkOneOrder(t, events, publishers*each)
}

func TestPrivateChannelAdmitsNobodyWithoutAToken(t *testing.T) {
	const channel = "private-a"
	refused := herald.AuthorizerFunc(func(_ context.Context, r herald.AccessRequest) (herald.Access, error) {
		return herald.Access{Authorized: r.User != nil && r.User.ID == "ann"}, nil
	})
	srv := startQuiet(t, herald.Config{Authorizer: refused})
	other, c := srv.Dial(t), srv.Dial(t)
	for name, auth := range map[string]string{
		"no token":                    "",
		"no token but text":           "yes",
		"a token of another":          other.Sign(channel, ""),
		"a token for another channel": c.Sign("private-b", ""),
		"a token for a member":        c.Sign(channel, `{"id":"ann"}`),
	} {
		t.Run(name, func(t *testing.T) {
			c.Send(map[string]string{"type": "subscribe", "channel": channel, "auth": auth})
			c.ExpectCode("forbidden")
		})
	}
	bob := heraldtest.WithToken(srv.Token("bob"))
	for name, opts := range map[string][]heraldtest.DialOption{"a stream of nobody": nil, "a stream of another user": {bob}} {
		t.Run(name, func(t *testing.T) {
			st := srv.Stream(t, append(opts, heraldtest.WithPath("/events?channels="+channel))...)
			m := st.NextMessage()
			for m.Type == "auth" {
				m = st.NextMessage()
			}
			if m.Type != "subscription_error" || m.Code != "forbidden" {
				t.Errorf("got %s, want a refusal", m.Raw)
			}
		})
	}
	if n := must(srv.SubscriberCount(t.Context(), channel)); n != 0 {
		t.Fatalf("got %d subscribers, want nobody", n)
	}
	c.Subscribe(channel)
	ann := srv.Stream(t, heraldtest.WithToken(srv.Token("ann")))
	ann.NextMessage() // whom the token made it
	ann.Subscribe(channel)
}

func TestMemberJoinsOnceAndLeavesOnce(t *testing.T) {
	const channel = "presence-a"
	ann := herald.Member{ID: "ann"}
	srv := startQuiet(t, herald.Config{Authorizer: naming(ann)})
	witness := srv.Dial(t)
	witness.Subscribe(channel, herald.Member{ID: "witness"})
	first, second, stream := srv.Dial(t), srv.Dial(t), srv.Stream(t)
	first.Subscribe(channel, ann)
	second.Subscribe(channel, ann)
	stream.Subscribe(channel)
	witness.Expect(`{"type":"event","channel":"presence-a","event":"member_added","data":{"id":"ann"}}`)

	first.Close()
	stream.Unsubscribe(channel)
	awaitCount(t, srv, channel, 2)
	witness.Quiet()
	_ = second.Conn().Close() // without a word
	witness.Expect(`{"type":"event","channel":"presence-a","event":"member_removed","data":{"id":"ann"}}`)
	awaitCount(t, srv, channel, 1)
	witness.Quiet()
}

func TestDrainClosesEveryConnectionAndSaysWhenToComeBack(t *testing.T) {
	srv, k := wsStartAt(t, quiet(t, herald.Config{DrainTimeout: time.Hour}))
	var sockets []*heraldtest.Client
	var streams []*heraldtest.Stream
	for range 4 {
		sockets = append(sockets, srv.Dial(t))
		streams = append(streams, srv.Stream(t), eventStream(t, srv, "", srv.Token("ann", allEvents)))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := srv.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("close: got %v, want it to go on behind us", err)
	}
	for _, c := range sockets {
		wsDraining(t, c)
	}
	for _, st := range streams {
		if back := nextBlock(t, st).Retry; back < time.Second {
			t.Errorf("got %v, want to be told to come back in a second or more", back)
		}
	}
	k.Advance(time.Hour * 3 / 4)
	for _, c := range sockets {
		c.ExpectClose(1001)
		_ = c.Conn().Close()
	}
	for _, st := range streams {
		st.ExpectEnd()
	}
	closeServer(t, srv.Server)
}
