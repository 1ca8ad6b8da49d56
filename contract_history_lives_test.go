package herald_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

// lateBroker tells its node of nothing while it is held.
type lateBroker struct {
	*herald.MemoryBroker
	late *lateNode
}

// Run implements herald.Broker.
func (b *lateBroker) Run(ctx context.Context, n herald.Node) error {
	b.late = &lateNode{Node: n}
	return b.MemoryBroker.Run(ctx, b.late)
}

type lateNode struct {
	herald.Node
	mu    sync.Mutex // guards the fields below; held over what the node is told
	held  bool
	later []func()
}

// Deliver implements herald.Node.
func (n *lateNode) Deliver(stream, epoch string, entries []herald.Entry) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.held {
		n.later = append(n.later, func() { n.Node.Deliver(stream, epoch, entries) })
		return
	}
	n.Node.Deliver(stream, epoch, entries)
}

func (n *lateNode) hold() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.held = true
}

func (n *lateNode) release() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, tell := range n.later {
		tell()
	}
	n.held, n.later = false, nil
}

// startLate starts a server with such a broker.
func startLate(t *testing.T, config herald.Config) (*heraldtest.Server, *lateNode) {
	t.Helper()
	broker := &lateBroker{MemoryBroker: herald.NewMemoryBroker()}
	config.Broker = broker
	srv := startQuiet(t, config)
	<-broker.Began
	return srv, broker.late
}

// Who comes from a node that had heard more of the channel than this one has missed nothing, and gets nothing twice.
func TestHistoryOfWhoIsAheadOfTheNode(t *testing.T) {
	srv, node := startLate(t, keeping(100, "orders"))
	witness := srv.Dial(t)
	epoch := askSince(t, witness, "orders", nil).at(t).Epoch
	numbers(t, srv, "orders", 1, 41)
	expectNumbers(t, rawOf(witness), "orders", epoch, 1, 41)
	node.hold()
	numbers(t, srv, "orders", 42, 3)
	c, first := srv.Dial(t), srv.Dial(t)
	answer := askSince(t, c, "orders", since(epoch, 43))
	answer.recovered(t, "yes")
	answer.isAt(t, epoch, 43) // not where the node is: it has more
	askSince(t, first, "orders", since(epoch, 42)).recovered(t, "yes")
	lost := srv.Dial(t)
	answer = askSince(t, lost, "orders", since(epoch, 45)) // which nobody can have heard
	answer.recovered(t, "no")
	answer.isAt(t, epoch, 41)
	st := streamFrom(t, srv, "orders", position("orders", epoch, 43))
	expectJoined(t, st, "orders", "yes").isAt(t, epoch, 43)
	node.release()
	numbers(t, srv, "orders", 45, 2)
	expectNumbers(t, rawOf(c), "orders", epoch, 44, 46)
	expectNumbers(t, rawOf(first), "orders", epoch, 43, 46)
	expectNumbers(t, rawOf(lost), "orders", epoch, 42, 46)
	expectNumbers(t, textOf(st), "orders", epoch, 44, 46)
	for _, c := range []*heraldtest.Client{c, first, lost} {
		c.Quiet()
	}
}

// The same of the domain events, by id and by position.
func TestHistoryOfWhoIsAheadOfTheNodesEvents(t *testing.T) {
	srv, node := startLate(t, keepingEvents(100))
	c := wsUser(t, srv, "ann", wsAll)
	begin := listenSince(t, c, "", "**")
	expectEvents(t, c, someEvents(t, srv, 1, 41)...)
	node.hold()
	someEvents(t, srv, 42, 43)
	ahead := begin.Position[:len(begin.Position)-1]
	var clients []*heraldtest.Client
	for _, since := range []string{"evt-42", ahead + "42"} {
		c := wsUser(t, srv, "ann", wsAll)
		answer := listenSince(t, c, since, "**")
		wantRecovered(t, answer, true)
		if answer.Position != since {
			t.Errorf("since %s: got the position %s: what the client has would come again", since, answer.Position)
		}
		clients = append(clients, c)
	}
	old := wsUser(t, srv, "ann", wsAll) // of what it listens to already it has no more than the node
	listenSince(t, old, "", "other.*")
	answer := listenSince(t, old, "evt-42", "user.*")
	wantRecovered(t, answer, true)
	if answer.Position != "evt-41" {
		t.Errorf("got the position %s, want evt-41", answer.Position)
	}
	clients = append(clients, old)
	lost := wsUser(t, srv, "ann", wsAll)
	wantRecovered(t, listenSince(t, lost, ahead+"44", "**"), false)
	st := eventsFrom(t, srv, "", "evt-42")
	node.release()
	ids := append([]string{"evt-43"}, someEvents(t, srv, 44, 45)...)
	for _, c := range clients {
		expectEvents(t, c, ids...)
		c.Quiet()
	}
	expectEvents(t, lost, append([]string{"evt-42"}, ids...)...)
	lost.Quiet()
	expectStreamEvents(t, st, ids...)
}

// What has become too old, or too much, is not replayed though the node has it at hand from when it was not.
func TestHistoryAtHandAgesToo(t *testing.T) {
	config := keeping(1200, "orders")
	config.KeepAlive.PingInterval = time.Hour
	srv, k := startWithClock(t, config)
	witness := srv.Dial(t)
	epoch := askSince(t, witness, "orders", nil).at(t).Epoch
	numbers(t, srv, "orders", 1, 1200)
	expectNumbers(t, rawOf(witness), "orders", epoch, 1, 1200)
	resume := func(offset uint64, want string) {
		t.Helper()
		c := srv.Dial(t)
		askSince(t, c, "orders", since(epoch, offset)).recovered(t, want)
		if want == "yes" {
			expectNumbers(t, rawOf(c), "orders", epoch, int(offset)+1, int(offset)+100)
		}
		c.Close()
	}
	resume(20, "yes") // reads a page
	numbers(t, srv, "orders", 1201, 60)
	resume(50, "no") // 61 is the oldest that is kept
	resume(60, "yes")
	k.Advance(time.Minute)
	resume(70, "no")
}

// What was read for those who came back does not stay in memory.
func TestHistoryPageIsLetGo(t *testing.T) {
	config := keeping(1200, "orders")
	config.KeepAlive.PingInterval = time.Hour
	srv, k := startWithClock(t, config)
	witness := srv.Dial(t)
	epoch := askSince(t, witness, "orders", nil).at(t).Epoch
	numbers(t, srv, "orders", 1, 1200)
	expectNumbers(t, rawOf(witness), "orders", epoch, 1, 1200)
	c := srv.Dial(t)
	askSince(t, c, "orders", since(epoch, 20)).recovered(t, "yes")
	expectNumbers(t, rawOf(c), "orders", epoch, 21, 1200)
	hasPage := herald.HasPage(srv.Server, "orders") // also when the clock has closed the connections
	if !hasPage() {
		t.Error("the page has gone while it is used")
	}
	wsEventually(t, "the page has gone", func() bool {
		k.Advance(herald.PageTime)
		return !hasPage()
	})
}

// A history that begins anew while somebody asks for what he missed of the former one is lost to him, though it has
// the offset that he names.
func TestHistoryThatBeginsAnewWhileItIsAskedFor(t *testing.T) {
	const messages = 1100
	var once sync.Once
	reading, goOn := make(chan struct{}), make(chan struct{})
	srv, broker := startWatched(t, keeping(2000, "orders"), func(r herald.Range) error {
		if r.After == 50 {
			once.Do(func() { close(reading); <-goOn })
		}
		return nil
	})
	t.Cleanup(sync.OnceFunc(func() { close(goOn) }))
	witness := srv.Dial(t)
	epoch := askSince(t, witness, "orders", nil).at(t).Epoch
	numbers(t, srv, "orders", 1, messages)
	expectNumbers(t, rawOf(witness), "orders", epoch, 1, messages)
	c := srv.Dial(t)
	c.Send(map[string]any{"type": "subscribe", "channel": "orders", "since": since(epoch, 50)})
	<-reading
	broker.Forget()
	broadcast(t, srv, "orders", "n", "again")
	gap := parseKept(t, witness.Next().Raw)
	if string(gap.Event) != `"gap"` {
		t.Fatalf("got %s, want a gap", gap.Raw)
	}
	first := parseKept(t, witness.Next().Raw)
	answer := parseKept(t, c.Next().Raw) // though the broker has not answered: there is nothing to wait for
	answer.recovered(t, "no")
	if answer.at(t).Offset == 0 { // it has come between the beginning and what began it
		answer.isAt(t, first.Epoch, 0)
		answer = parseKept(t, c.Next().Raw)
	}
	answer.isAt(t, first.Epoch, 1)
	goOn <- struct{}{}
	broadcast(t, srv, "orders", "n", "more")
	for _, c := range []*heraldtest.Client{c, witness} {
		parseKept(t, c.Next().Raw).isAt(t, first.Epoch, 2)
		c.Quiet()
	}
}

// Whoever is fed while the history begins anew is told so once.
func TestHistoryThatBeginsAnewIsToldOnce(t *testing.T) {
	const messages = 1600
	var forget atomic.Bool
	var broker *watchedBroker
	catchingUp, goOn := make(chan struct{}), make(chan struct{})
	srv, broker := startWatched(t, keeping(2000, "orders"), func(r herald.Range) error {
		switch {
		case r.After > messages-100: // to see what the node has missed
			close(catchingUp)
			<-goOn
		case r.After > 50 && forget.CompareAndSwap(true, false): // for who is fed already
			broker.Forget()
		}
		return nil
	})
	resume := sync.OnceFunc(func() { close(goOn) })
	t.Cleanup(resume)
	witness := srv.Dial(t)
	epoch := askSince(t, witness, "orders", nil).at(t).Epoch
	numbers(t, srv, "orders", 1, messages)
	expectNumbers(t, rawOf(witness), "orders", epoch, 1, messages)
	forget.Store(true)
	c := srv.Dial(t)
	askSince(t, c, "orders", since(epoch, 50)).recovered(t, "yes")
	<-catchingUp
	for range 2 { // whatever the page has had told by then is on its way
		if _, err := srv.Disconnect(t.Context(), "1.1"); err != nil {
			t.Fatal(err)
		}
	}
	resume()
	m := parseKept(t, c.Next().Raw)
	for string(m.Event) != `"gap"` {
		m = parseKept(t, c.Next().Raw)
	}
	if gap := parseKept(t, witness.Next().Raw); string(gap.Event) != `"gap"` {
		t.Errorf("got %s, want a gap", gap.Raw)
	}
	broadcast(t, srv, "orders", "n", "again")
	for _, c := range []*heraldtest.Client{c, witness} {
		m := parseKept(t, c.Next().Raw)
		if m.at(t).Epoch == epoch || *m.Offset != 1 {
			t.Errorf("got %s, want the first of another epoch", m.Raw)
		}
		c.Quiet()
	}
}

// A stream that is shorter than the node knows it has lost something: who asks for what is older is told, and the
// broker is not asked over and over.
func TestHistoryThatWentBack(t *testing.T) {
	const messages = 2500
	config := keeping(5000, "orders")
	srv, broker := startWatched(t, config, nil)
	witness := srv.Dial(t)
	epoch := askSince(t, witness, "orders", nil).at(t).Epoch
	numbers(t, srv, "orders", 1, messages)
	expectNumbers(t, rawOf(witness), "orders", epoch, 1, messages)
	broker.GoBack("orders", config.History[0].Keep, 1400)
	before := broker.reads.Load()
	c := srv.Dial(t)
	answer := askSince(t, c, "orders", since(epoch, 1400))
	answer.recovered(t, "no")
	answer.isAt(t, epoch, 1400)
	if gap := parseKept(t, witness.Next().Raw); string(gap.Event) != `"gap"` {
		t.Errorf("got %s, want a gap", gap.Raw)
	}
	if n := broker.reads.Load() - before; n > 4 {
		t.Errorf("the broker was read %d times", n)
	}
	numbers(t, srv, "orders", 1401, 2)
	for _, c := range []*heraldtest.Client{c, witness} {
		expectNumbers(t, rawOf(c), "orders", epoch, 1401, 1402)
		c.Quiet()
	}
}

// locatingBroker counts how often it is asked for an id, and asks before.
type locatingBroker struct {
	*herald.MemoryBroker
	before func(id string)
}

// Locate implements herald.Streams.
func (b *locatingBroker) Locate(ctx context.Context, keep herald.Retention, id string) (herald.Position, bool, error) {
	b.before(id)
	return b.MemoryBroker.Locate(ctx, keep, id)
}

// However many come back to a node that has begun anew, the broker is asked once for what they have in common, and
// for a few ids at a time.
func TestHistoryOfEventsIsLocatedTogether(t *testing.T) {
	const clients, ids = 60, 12
	var mu sync.Mutex
	var asked []string
	now, most := 0, 0
	goOn := make(chan struct{})
	broker := &locatingBroker{MemoryBroker: herald.NewMemoryBroker(), before: func(id string) {
		mu.Lock()
		asked = append(asked, id)
		now++
		most = max(most, now)
		mu.Unlock()
		<-goOn
		mu.Lock()
		now--
		mu.Unlock()
	}}
	config := keepingEvents(5000)
	config.Broker = broker
	srv := startQuiet(t, config)
	<-broker.Began
	someEvents(t, srv, 1, 1100) // of which the node has the newest at hand
	var all []*heraldtest.Client
	for i := range clients {
		c := wsUser(t, srv, "ann", wsAll)
		c.Send(map[string]any{"type": "subscribe", "events": []string{"**"}, "since": fmt.Sprint("evt-", i%ids+1)})
		all = append(all, c)
	}
	if n, err := srv.Disconnect(t.Context(), "1.1"); err != nil || n != 0 { // the loops have dealt with them then
		t.Fatal(n, err)
	}
	close(goOn)
	for i, c := range all {
		wantRecovered(t, wsNextSubscribed(t, c), true)
		expectEvents(t, c, fmt.Sprint("evt-", i%ids+2))
	}
	mu.Lock()
	defer mu.Unlock()
	slices.Sort(asked)
	if len(asked) < ids || len(asked) > 2*ids || most > 4 {
		t.Errorf("%d clients with %d ids have had the broker asked %d times, %d at once", clients, ids, len(asked), most)
	}
}
