package herald_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

// watchedBroker counts how often its history is read, and asks before it is.
type watchedBroker struct {
	*herald.MemoryBroker
	reads  atomic.Int64
	before func(herald.Range) error // each Read; nil: nothing
}

// Read implements herald.Streams.
func (b *watchedBroker) Read(ctx context.Context, stream string, keep herald.Retention, r herald.Range) (herald.Page, error) {
	b.reads.Add(1)
	if b.before != nil {
		if err := b.before(r); err != nil {
			return herald.Page{}, err
		}
	}
	return b.MemoryBroker.Read(ctx, stream, keep, r)
}

// startWatched starts a server with such a broker.
func startWatched(t *testing.T, config herald.Config, before func(herald.Range) error) (*heraldtest.Server, *watchedBroker) {
	t.Helper()
	broker := &watchedBroker{MemoryBroker: herald.NewMemoryBroker(), before: before}
	config.Broker = broker
	srv := startQuiet(t, config)
	<-broker.Began
	return srv, broker
}

// The node has the newest 1,000 at hand; what is older is read from the broker, a page at a time.
func TestHistoryBehindTheLogIsReadInPages(t *testing.T) {
	const messages, atHand, page = 3500, 1000, 250
	srv, broker := startWatched(t, keeping(5000, "orders"), nil)
	witness := srv.Dial(t) // has the node keep its log
	epoch := askSince(t, witness, "orders", nil).at(t).Epoch
	numbers(t, srv, "orders", 1, messages)
	expectNumbers(t, rawOf(witness), "orders", epoch, 1, messages)

	c := srv.Dial(t)
	askSince(t, c, "orders", since(epoch, messages-atHand)).recovered(t, "yes")
	expectNumbers(t, rawOf(c), "orders", epoch, messages-atHand+1, messages)
	if n := broker.reads.Load(); n != 0 {
		t.Errorf("what is at hand took %d reads, want none", n)
	}
	c = srv.Dial(t)
	askSince(t, c, "orders", since(epoch, 0)).recovered(t, "yes")
	expectNumbers(t, rawOf(c), "orders", epoch, 1, 2000)
	numbers(t, srv, "orders", messages+1, 10) // the log moves on meanwhile
	expectNumbers(t, rawOf(c), "orders", epoch, 2001, messages+10)
	const least = (messages - atHand) / page
	if n := broker.reads.Load(); n < least || n > least+5 {
		t.Errorf("got %d reads, want about %d", n, least)
	}
	c.Quiet()
	lost := streamFrom(t, srv, "orders", position("orders", epoch, messages+100)) // and is told of all that there is
	expectGap(t, lost, streamGap{
		Channel: "orders", Requested: fmt.Sprintf("%s-%d", epoch, messages+100),
		Oldest: fmt.Sprintf("%s-1", epoch), Newest: fmt.Sprintf("%s-%d", epoch, messages+10),
	})
	lost.Close()
	st := streamFrom(t, srv, "orders", position("orders", epoch, 7))
	expectJoined(t, st, "orders", "yes").isAt(t, epoch, messages+10)
	expectNumbers(t, textOf(st), "orders", epoch, 8, messages+10)
}

// The node's log is bounded in bytes as well.
func TestHistoryOfLargeMessagesIsReadFromTheBroker(t *testing.T) {
	const messages, size = 200, 16 << 10
	srv, broker := startWatched(t, keeping(messages, "orders"), nil)
	witness := srv.Dial(t)
	epoch := askSince(t, witness, "orders", nil).at(t).Epoch
	for i := range messages {
		broadcast(t, srv, "orders", "n", large(i+1, size))
		parseKept(t, witness.Next().Raw).isAt(t, epoch, uint64(i+1))
	}
	for first, read := range map[uint64]bool{messages - 60: false, 0: true} {
		before := broker.reads.Load()
		c := srv.Dial(t)
		askSince(t, c, "orders", since(epoch, first)).recovered(t, "yes")
		for i := first + 1; i <= messages; i++ {
			parseKept(t, c.Next().Raw).isAt(t, epoch, i)
		}
		if got := broker.reads.Load() > before; got != read {
			t.Errorf("after %d: the broker was read: %v, want %v", first, got, read)
		}
		c.Close()
	}
}

// large is a text of about that size which begins with its number.
func large(n, size int) string { return fmt.Sprintf("%08d%*s", n, size, "") }

// However many come back at once, what they missed is read once for all of them.
func TestHistoryOfAThousandIsReadOnce(t *testing.T) {
	const clients, messages, missed = 1000, 1100, 1005
	srv, broker := startWatched(t, keeping(2000, "orders"), nil)
	witness := srv.Dial(t)
	epoch := askSince(t, witness, "orders", nil).at(t).Epoch
	numbers(t, srv, "orders", 1, messages)
	expectNumbers(t, rawOf(witness), "orders", epoch, 1, messages)
	all := make([]*heraldtest.Client, clients)
	for i := range all {
		all[i] = srv.Dial(t)
	}
	for _, c := range all {
		c.Send(map[string]any{"type": "subscribe", "channel": "orders", "since": since(epoch, messages-missed)})
	}
	for i, c := range all {
		parseKept(t, c.Next().Raw).recovered(t, "yes")
		first, last := messages-missed+1, messages
		if i%50 > 0 {
			last = first // the others are like it
		}
		expectNumbers(t, rawOf(c), "orders", epoch, first, last)
	}
	if n := broker.reads.Load(); n < 1 || n > 10 {
		t.Errorf("%d clients took %d reads, want a handful", clients, n)
	}
}

// Members who come and go while the broker is asked are part of the answer.
func TestHistoryMembersOfASlowBroker(t *testing.T) {
	const channel, messages = "presence-room", 1100
	reading, goOn := make(chan struct{}), make(chan struct{})
	srv, _ := startWatched(t, keeping(2000, channel), func(herald.Range) error {
		reading <- struct{}{}
		<-goOn
		return nil
	})
	ann := srv.Dial(t)
	epoch := parseKept(t, ann.Subscribe(channel, herald.Member{ID: "ann"}).Raw).at(t).Epoch
	numbers(t, srv, channel, 1, messages)
	expectNumbers(t, rawOf(ann), channel, epoch, 1, messages)
	bob := srv.Dial(t)
	bob.Send(map[string]any{
		"type": "subscribe", "channel": channel, "since": since(epoch, 50),
		"auth": bob.Sign(channel, `{"id":"bob"}`), "channel_data": `{"id":"bob"}`,
	})
	<-reading
	cid := srv.Dial(t)
	cid.Subscribe(channel, herald.Member{ID: "cid"})
	ann.Close()
	cid.Expect(`{"type":"event","channel":"presence-room","event":"member_removed","data":{"id":"ann"}}`)
	close(goOn)
	answer := parseKept(t, bob.Next().Raw)
	answer.recovered(t, "yes")
	if got, want := string(answer.Data), `{"members":[{"id":"bob"},{"id":"cid"}]}`; !heraldtest.SameJSON(got, want) {
		t.Errorf("got the members %s, want %s", got, want)
	}
	expectNumbers(t, rawOf(bob), channel, epoch, 51, messages)
}

// A client that leaves while the broker is asked is gone; nobody answers it.
func TestHistoryLeavingASlowBroker(t *testing.T) {
	const messages = 1100
	var once sync.Once
	reading, goOn := make(chan struct{}), make(chan struct{})
	srv, _ := startWatched(t, keeping(2000, "orders"), func(herald.Range) error {
		once.Do(func() { close(reading) })
		<-goOn
		return nil
	})
	witness := srv.Dial(t)
	epoch := askSince(t, witness, "orders", nil).at(t).Epoch
	numbers(t, srv, "orders", 1, messages)
	expectNumbers(t, rawOf(witness), "orders", epoch, 1, messages)
	st := srv.Stream(t, heraldtest.WithPath("/events?channels=orders"), heraldtest.WithHeader("Last-Event-ID", position("orders", epoch, 50)))
	gone := srv.Dial(t)
	gone.Send(map[string]any{"type": "subscribe", "channel": "orders", "since": since(epoch, 50)})
	<-reading
	_ = gone.Conn().Close()
	st.Unsubscribe("orders")
	close(goOn)
	awaitCount(t, srv, "orders", 1)
	numbers(t, srv, "orders", messages+1, 1)
	expectNumbers(t, rawOf(witness), "orders", epoch, messages+1, messages+1)
	joined := st.Subscribe("orders")
	if got := parseKept(t, joined.Raw); got.Recovered != nil || *got.Offset != messages+1 {
		t.Errorf("got %s, want to begin where the channel stands", got.Raw)
	}
}

// A broker that cannot be read now is the error of who needs it, and of nobody else.
func TestHistoryOfABrokerThatFails(t *testing.T) {
	const messages = 1100
	var fails atomic.Bool
	fails.Store(true)
	srv, _ := startWatched(t, keeping(2000, "orders"), func(herald.Range) error {
		if fails.Load() {
			return errors.New("away")
		}
		return nil
	})
	witness := srv.Dial(t)
	epoch := askSince(t, witness, "orders", nil).at(t).Epoch
	numbers(t, srv, "orders", 1, messages)
	expectNumbers(t, rawOf(witness), "orders", epoch, 1, messages)
	c := srv.Dial(t)
	c.Send(map[string]any{"type": "subscribe", "channel": "orders", "since": since(epoch, 50)})
	c.ExpectCode("broker_unavailable")
	if n := must(srv.SubscriberCount(t.Context(), "orders")); n != 1 {
		t.Errorf("got %d subscribers, want the witness", n)
	}
	askSince(t, c, "orders", since(epoch, messages-5)).recovered(t, "yes") // which is at hand
	expectNumbers(t, rawOf(c), "orders", epoch, messages-4, messages)
	numbers(t, srv, "orders", messages+1, 1)
	expectNumbers(t, rawOf(c), "orders", epoch, messages+1, messages+1)
	c.Send(map[string]any{"type": "subscribe", "channel": "orders", "since": since(epoch, 50)}) // the open one stays
	c.ExpectCode("broker_unavailable")
	numbers(t, srv, "orders", messages+2, 1)
	expectNumbers(t, rawOf(c), "orders", epoch, messages+2, messages+2)
	c.Close()
	fails.Store(false)
	c = srv.Dial(t)
	askSince(t, c, "orders", since(epoch, 50)).recovered(t, "yes")
	expectNumbers(t, rawOf(c), "orders", epoch, 51, messages+2)
	c.Quiet()
}

// Who asks while a page is read that was chosen for others waits for his own: what that page does not have is no
// gap.
func TestHistoryAskedWhileAPageIsRead(t *testing.T) {
	const messages = 1600
	reading, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	config := keeping(2000, "orders")
	registry := prometheus.NewRegistry()
	config.Metrics = registry
	srv, _ := startWatched(t, config, func(herald.Range) error {
		once.Do(func() {
			close(reading)
			<-goOn
		})
		return nil
	})
	resume := sync.OnceFunc(func() { close(goOn) })
	t.Cleanup(resume)
	witness := srv.Dial(t)
	epoch := askSince(t, witness, "orders", nil).at(t).Epoch
	numbers(t, srv, "orders", 1, messages)
	expectNumbers(t, rawOf(witness), "orders", epoch, 1, messages)
	early, late := srv.Dial(t), srv.Dial(t)
	ask := func(c *heraldtest.Client, offset uint64) {
		c.Send(map[string]any{"type": "subscribe", "channel": "orders", "since": since(epoch, offset)})
	}
	ask(early, 500)
	<-reading
	ask(late, 10)
	wsEventually(t, "the server has both questions", func() bool {
		return wsMetric(t, registry, "herald_messages_received_total") == 3 // with the witness's
	})
	if _, err := srv.Disconnect(t.Context(), "1.1"); err != nil { // the loops have dealt with them then
		t.Fatal(err)
	}
	numbers(t, srv, "orders", messages+1, 1)
	resume()
	for c, first := range map[*heraldtest.Client]int{early: 501, late: 11} {
		parseKept(t, c.Next().Raw).recovered(t, "yes")
		expectNumbers(t, rawOf(c), "orders", epoch, first, messages+1)
		c.Quiet()
	}
}
