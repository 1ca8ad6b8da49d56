package herald_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

func TestHistoryHasEpochsAndOffsets(t *testing.T) {
	srv := startQuiet(t, keeping(5, "orders", "private-*"))
	c := srv.Dial(t)
	first := askSince(t, c, "orders", nil)
	first.recovered(t, "")
	epoch := first.at(t).Epoch
	first.isAt(t, epoch, 0)
	numbers(t, srv, "orders", 1, 3)
	expectNumbers(t, rawOf(c), "orders", epoch, 1, 3)
	askSince(t, srv.Dial(t), "orders", nil).isAt(t, epoch, 3)
	other := askSince(t, c, "private-a", nil).at(t)
	if other.Epoch == epoch || other.Offset != 0 {
		t.Errorf("another channel: got %v, want another epoch than %s and the offset 0", other, epoch)
	}
	answer := askSince(t, c, "news", nil)
	answer.unkept(t)
	answer.recovered(t, "")
	broadcast(t, srv, "news", "n", 1)
	c.Expect(`{"type":"event","channel":"news","event":"n","data":1}`)
	c.Quiet()
}

// resumeRows are what somebody who comes back finds of a channel that keeps five messages.
var resumeRows = []struct {
	name      string
	said      int // messages, numbered from 1
	since     uint64
	epoch     string // another one than the channel's
	recovered bool
}{
	{name: "nothing was said", said: 0, since: 0, recovered: true},
	{name: "nothing missed", said: 3, since: 3, recovered: true},
	{name: "nothing missed of more than is kept", said: 9, since: 9, recovered: true},
	{name: "some missed", said: 4, since: 2, recovered: true},
	{name: "everything missed", said: 4, since: 0, recovered: true},
	{name: "all that is kept", said: 9, since: 4, recovered: true},
	{name: "one too many", said: 9, since: 3},
	{name: "everything of more than is kept", said: 9, since: 0},
	{name: "unknown epoch", said: 3, since: 1, epoch: "ABCDEFGHIJKL"},
	{name: "unknown epoch, nothing said", said: 0, since: 0, epoch: "ABCDEFGHIJKL"},
	{name: "the future", said: 3, since: 4},
	{name: "the far future", said: 3, since: 1<<63 + 5},
	{name: "the end of time", said: 3, since: 1<<64 - 1},
}

func TestHistoryResumesOnWebSockets(t *testing.T) {
	for _, channel := range []string{"orders", "private-orders"} {
		for _, tt := range resumeRows {
			t.Run(channel+" "+tt.name, func(t *testing.T) {
				srv := startQuiet(t, keeping(5, channel))
				epoch := epochOf(t, srv, channel)
				numbers(t, srv, channel, 1, tt.said)
				c := srv.Dial(t)
				from := since(epoch, tt.since)
				if tt.epoch != "" {
					from.Epoch = tt.epoch
				}
				answer := askSince(t, c, channel, from)
				answer.isAt(t, epoch, uint64(tt.said))
				if tt.recovered {
					answer.recovered(t, "yes")
					expectNumbers(t, rawOf(c), channel, epoch, int(tt.since)+1, tt.said)
				} else {
					answer.recovered(t, "no")
				}
				numbers(t, srv, channel, tt.said+1, 2)
				expectNumbers(t, rawOf(c), channel, epoch, tt.said+1, tt.said+2)
				c.Quiet()
			})
		}
	}
}

func TestHistorySinceWithoutHistory(t *testing.T) {
	srv := startQuiet(t, keeping(5, "orders"))
	c := srv.Dial(t)
	for range 2 { // also on a subscription that is open
		answer := askSince(t, c, "news", since("ABCDEFGHIJKL", 3))
		answer.recovered(t, "no")
		answer.unkept(t)
	}
	broadcast(t, srv, "news", "n", 1)
	c.Expect(`{"type":"event","channel":"news","event":"n","data":1}`)
	c.Quiet()
}

// Who left before anything was ever said has missed whatever was said since.
func TestHistoryOutlivesItsSubscribers(t *testing.T) {
	srv := startQuiet(t, keeping(5, "orders"))
	c := srv.Dial(t)
	before := askSince(t, c, "orders", nil).at(t)
	c.Close()
	awaitNobody(t, srv, "orders")
	numbers(t, srv, "orders", 1, 2)
	c = srv.Dial(t)
	answer := askSince(t, c, "orders", &before)
	answer.recovered(t, "yes")
	answer.isAt(t, before.Epoch, 2)
	expectNumbers(t, rawOf(c), "orders", before.Epoch, 1, 2)
	c.Quiet()
}

func TestHistorySubscribeAgain(t *testing.T) {
	srv := startQuiet(t, keeping(5, "orders"))
	c := srv.Dial(t)
	epoch := askSince(t, c, "orders", nil).at(t).Epoch
	numbers(t, srv, "orders", 1, 4)
	expectNumbers(t, rawOf(c), "orders", epoch, 1, 4)

	answer := askSince(t, c, "orders", nil) // changes nothing
	answer.recovered(t, "")
	answer.isAt(t, epoch, 4)

	answer = askSince(t, c, "orders", since(epoch, 2)) // replays
	answer.recovered(t, "yes")
	answer.isAt(t, epoch, 4)
	expectNumbers(t, rawOf(c), "orders", epoch, 3, 4)

	numbers(t, srv, "orders", 5, 3)
	expectNumbers(t, rawOf(c), "orders", epoch, 5, 7)
	askSince(t, c, "orders", since(epoch, 1)).recovered(t, "no")
	numbers(t, srv, "orders", 8, 1)
	expectNumbers(t, rawOf(c), "orders", epoch, 8, 8)
	c.Quiet()
	if n := must(srv.SubscriberCount(t.Context(), "orders")); n != 1 {
		t.Errorf("got %d subscribers, want 1", n)
	}
}

// A subscribe without since on an open subscription changes nothing: what is on its way meanwhile comes.
func TestHistorySubscribeAgainLosesNothing(t *testing.T) {
	const messages = 2000
	srv := startQuiet(t, keeping(messages, "orders"))
	c := srv.Dial(t)
	epoch := askSince(t, c, "orders", nil).at(t).Epoch
	said := make(chan error, 1)
	go func() {
		for i := range messages {
			if err := srv.Broadcast(t.Context(), "orders", "n", i+1); err != nil {
				said <- err
				return
			}
		}
		said <- nil
	}()
	last := uint64(0)
	for asked := 0; last < messages; {
		m := parseKept(t, c.Next().Raw)
		switch m.Type {
		case "event":
			m.isAt(t, epoch, last+1)
			last++
		case "subscription_succeeded":
			if at := m.at(t); at.Epoch != epoch || at.Offset != last {
				t.Fatalf("got %s after the message %d", m.Raw, last)
			}
		}
		if last/20 > uint64(asked) {
			asked++
			c.Send(`{"type":"subscribe","channel":"orders"}`)
		}
	}
	if err := <-said; err != nil {
		t.Fatal(err)
	}
}

// A message that was not for a connection leaves a hole in its offsets, which is no gap.
func TestHistoryExceptIsNoGap(t *testing.T) {
	srv := startQuiet(t, keeping(5, "orders"))
	c, other := srv.Dial(t), srv.Dial(t)
	epoch := askSince(t, c, "orders", nil).at(t).Epoch
	askSince(t, other, "orders", nil)
	say := func(n int, except string) {
		t.Helper()
		if err := srv.BroadcastExcept(t.Context(), "orders", "n", n, except); err != nil {
			t.Fatal(err)
		}
	}
	say(1, "")
	say(2, c.SocketID)
	say(3, c.SocketID)
	say(4, "")
	expectNumbers(t, rawOf(c), "orders", epoch, 1, 1)
	expectNumbers(t, rawOf(c), "orders", epoch, 4, 4)
	expectNumbers(t, rawOf(other), "orders", epoch, 1, 4)

	askSince(t, c, "orders", since(epoch, 1)).recovered(t, "yes") // the connection that is excepted still
	expectNumbers(t, rawOf(c), "orders", epoch, 4, 4)
	say(5, c.SocketID)
	say(6, "")
	expectNumbers(t, rawOf(c), "orders", epoch, 6, 6)
	c.Quiet()

	again := srv.Dial(t) // another socket: what is excepted is a socket, not a person
	askSince(t, again, "orders", since(epoch, 1)).recovered(t, "yes")
	expectNumbers(t, rawOf(again), "orders", epoch, 2, 6)
	again.Quiet()
}

// What a client sent itself is replayed to it after it has reconnected.
func TestHistoryReplaysOwnMessages(t *testing.T) {
	srv := startQuiet(t, keeping(5, "private-**"))
	c, other := srv.Dial(t), srv.Dial(t)
	epoch := askSince(t, c, "private-chat", nil).at(t).Epoch
	askSince(t, other, "private-chat", nil)
	for i := range 3 {
		c.Send(fmt.Sprintf(`{"type":"message","channel":"private-chat","event":"n","data":%d}`, i+1))
	}
	expectNumbers(t, rawOf(other), "private-chat", epoch, 1, 3)
	c.Quiet()
	c.Close()
	c = srv.Dial(t)
	answer := askSince(t, c, "private-chat", since(epoch, 0))
	answer.recovered(t, "yes")
	expectNumbers(t, rawOf(c), "private-chat", epoch, 1, 3)
	c.Quiet()
}

func TestHistoryOfPresenceChannels(t *testing.T) {
	srv := startQuiet(t, keeping(5, "presence-**"))
	const channel = "presence-room"
	ann, bob := srv.Dial(t), srv.Dial(t)
	enter := func(c *heraldtest.Client, id string, from *herald.Position) keptMessage {
		t.Helper()
		data := fmt.Sprintf(`{"id":%q}`, id)
		return askSince(t, c, channel, from, map[string]any{"channel_data": data, "auth": c.Sign(channel, data)})
	}
	answer := enter(ann, "ann", nil)
	epoch := answer.at(t).Epoch
	answer.isAt(t, epoch, 0)
	answer = enter(bob, "bob", nil)
	answer.isAt(t, epoch, 0)
	if got, want := string(answer.Data), `{"members":[{"id":"ann"},{"id":"bob"}]}`; !heraldtest.SameJSON(got, want) {
		t.Errorf("got the members %s, want %s", got, want)
	}
	added := parseKept(t, ann.Next().Raw)
	added.unkept(t)
	numbers(t, srv, channel, 1, 1)
	expectNumbers(t, rawOf(ann), channel, epoch, 1, 1)
	expectNumbers(t, rawOf(bob), channel, epoch, 1, 1)
	bob.Close()
	removed := parseKept(t, ann.Next().Raw)
	removed.unkept(t)
	if !heraldtest.SameJSON(removed.Raw, `{"type":"event","channel":"presence-room","event":"member_removed","data":{"id":"bob"}}`) {
		t.Errorf("got %s", removed.Raw)
	}
	ann.Send(`{"type":"message","channel":"presence-room","event":"n","data":2}`)
	ann.Quiet()
	numbers(t, srv, channel, 3, 1)
	expectNumbers(t, rawOf(ann), channel, epoch, 3, 3)

	bob = srv.Dial(t)
	answer = enter(bob, "bob", since(epoch, 1))
	answer.recovered(t, "yes")
	answer.isAt(t, epoch, 3)
	if got, want := string(answer.Data), `{"members":[{"id":"ann"},{"id":"bob"}]}`; !heraldtest.SameJSON(got, want) {
		t.Errorf("got the members %s, want %s", got, want)
	}
	expectNumbers(t, rawOf(bob), channel, epoch, 2, 3) // no comings and goings among them
	ann.Next()                                         // bob
	answer = enter(ann, "ann", since(epoch, 2))        // on an open subscription
	answer.recovered(t, "yes")
	if got, want := string(answer.Data), `{"members":[{"id":"ann"},{"id":"bob"}]}`; !heraldtest.SameJSON(got, want) {
		t.Errorf("got the members %s, want %s", got, want)
	}
	expectNumbers(t, rawOf(ann), channel, epoch, 3, 3)
	answer = enter(bob, "bob", since("ABCDEFGHIJKL", 2))
	answer.recovered(t, "no")
	numbers(t, srv, channel, 4, 1)
	expectNumbers(t, rawOf(ann), channel, epoch, 4, 4)
	expectNumbers(t, rawOf(bob), channel, epoch, 4, 4)
	ann.Quiet()
	bob.Quiet()
}

// What is too old is lost; what is not is still there, and so is the position.
func TestHistoryAges(t *testing.T) {
	srv, k := startWithClock(t, keeping(5, "orders"))
	epoch := epochOf(t, srv, "orders")
	numbers(t, srv, "orders", 1, 2)
	k.Advance(40 * time.Second)
	numbers(t, srv, "orders", 3, 1)
	k.Advance(20 * time.Second)
	ask := func(offset uint64, recovered string, first int) {
		t.Helper()
		c := srv.Dial(t)
		answer := askSince(t, c, "orders", since(epoch, offset))
		answer.recovered(t, recovered)
		answer.isAt(t, epoch, 3)
		expectNumbers(t, rawOf(c), "orders", epoch, first, 3)
		c.Quiet()
		c.Close()
	}
	ask(1, "no", 4)
	ask(2, "yes", 3)
	awaitNobody(t, srv, "orders")
	k.Advance(12 * time.Hour)
	ask(2, "no", 4)
	ask(3, "yes", 4) // nothing was missed
}

// A subscription that is open while nothing is said for days misses nothing of what is said then.
func TestHistoryQuietForDays(t *testing.T) {
	srv, k := wsStartAt(t, quiet(t, keeping(5, "orders", "news")))
	c := srv.Dial(t)
	epoch := askSince(t, c, "orders", nil).at(t).Epoch
	never := askSince(t, c, "news", nil).at(t).Epoch
	numbers(t, srv, "orders", 1, 1)
	expectNumbers(t, rawOf(c), "orders", epoch, 1, 1)
	k.Advance(72 * time.Hour)
	numbers(t, srv, "orders", 2, 1)
	expectNumbers(t, rawOf(c), "orders", epoch, 2, 2)
	numbers(t, srv, "news", 1, 1)
	expectNumbers(t, rawOf(c), "news", never, 1, 1)
	c.Quiet()
}

// The first rule that matches a channel counts.
func TestHistoryRules(t *testing.T) {
	config := keeping(2, "orders.new")
	config.History = append(config.History, keeping(4, "orders.*").History...)
	srv := startQuiet(t, config)
	for channel, kept := range map[string]int{"orders.new": 2, "orders.old": 4} {
		epoch := epochOf(t, srv, channel)
		numbers(t, srv, channel, 1, 6)
		c := srv.Dial(t)
		askSince(t, c, channel, since(epoch, uint64(6-kept))).recovered(t, "yes")
		expectNumbers(t, rawOf(c), channel, epoch, 7-kept, 6)
		askSince(t, c, channel, since(epoch, uint64(6-kept-1))).recovered(t, "no")
		c.Quiet()
	}
	askSince(t, srv.Dial(t), "orders.new.more", nil).unkept(t)
}

// A since that is none is a bad message, and nothing of it is applied.
func TestHistoryBadSince(t *testing.T) {
	srv := startQuiet(t, keeping(5, "orders"))
	c := srv.Dial(t)
	for _, bad := range []string{`"x"`, `{"epoch":1,"offset":1}`, `{"epoch":"x","offset":-1}`, `{"epoch":"x","offset":1.5}`, `{"epoch":"x"}`, `[]`} {
		c.Send(`{"type":"subscribe","channel":"orders","since":` + bad + `}`)
		c.ExpectCode("bad_message")
	}
	if n := must(srv.SubscriberCount(t.Context(), "orders")); n != 0 {
		t.Errorf("got %d subscribers, want none", n)
	}
}
