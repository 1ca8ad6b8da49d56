package herald_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
	"github.com/herald-events/herald/redisbroker"
)

const (
	faultNodes       = 3
	faultPublishers  = 4
	faultSubscribers = 200 // one in four a stream, all on the kept channel
	faultMembers     = 12  // over the nodes
	faultBefore      = 40  // messages of each publisher before the fault, and behind it
)

// cluster is nodes that share a Redis to which something happens.
type cluster struct {
	t       *testing.T
	redis   *heraldtest.Redis
	nodes   []*heraldtest.Server
	brokers []*redisbroker.Broker
	readers []*keptReader
	back    time.Duration // from the end of what happened until every node was ready and published again

	mu       sync.Mutex      // guards the fields below
	changed  *sync.Cond      // when one of them has
	accepted map[string]bool // messages whose publish call has succeeded
	refused  int             // calls that have failed
	over     bool            // publishers are to end
	broken   bool            // a subscriber has seen what must not be
}

func startCluster(t *testing.T, options ...string) *cluster {
	t.Helper()
	c := &cluster{t: t, redis: heraldtest.StartRedisServer(t, options...), accepted: map[string]bool{}}
	c.changed = sync.NewCond(&c.mu)
	for range faultNodes {
		broker, err := redisbroker.New(redisbroker.Config{URL: c.redis.URL, Prefix: c.redis.Prefix})
		if err != nil {
			t.Fatal(err)
		}
		config := quiet(t, keeping(100_000, "kept**"))
		config.Broker = broker
		config.APIKeys = []herald.APIKey{{Name: "test", Key: "a-key-for-the-tests", Scopes: []herald.Scope{herald.ScopeAll}}}
		c.nodes = append(c.nodes, heraldtest.Start(t, config))
		c.brokers = append(c.brokers, broker)
	}
	c.awaitReady()
	return c
}

func (c *cluster) node(i int) *heraldtest.Server { return c.nodes[i%len(c.nodes)] }

func (c *cluster) readyz(i int) int {
	return httpCall(c.t, c.node(i).HTTP(), http.MethodGet, c.node(i).URL+"/readyz", "").Status
}

func (c *cluster) awaitReady() {
	c.t.Helper()
	for i := range c.nodes {
		wsEventually(c.t, "the node is ready", func() bool { return c.readyz(i) == http.StatusOK })
	}
}

// awaitGone waits until every node has noticed.
func (c *cluster) awaitGone() {
	c.t.Helper()
	for i := range c.nodes {
		wsEventually(c.t, "the node has noticed", func() bool { return c.readyz(i) == http.StatusServiceUnavailable })
	}
}

// change makes a change, and wakes whoever waits for it.
func (c *cluster) change(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
	c.changed.Broadcast()
}

// publish says numbered messages from one node after the other until the cluster is over, and counts what was
// accepted and what was not. It waits for each before it says the next.
func (c *cluster) publish(publisher int) {
	for n := 0; ; n++ {
		id := fmt.Sprint(publisher, "-", n)
		node := publisher + n
		err := c.node(node).Broadcast(context.Background(), "kept", "n", id)
		var over bool
		c.change(func() {
			if over = c.over || c.broken; err == nil {
				c.accepted[id] = true
			} else {
				c.refused++
			}
		})
		if over {
			return
		}
		if err == nil {
			c.readers[publisher].await(id)
			continue
		}
		if !errors.Is(err, &herald.Error{Code: herald.CodeUnavailable}) {
			c.fail(fmt.Errorf("publish: got %w, want it to be unavailable", err))
		}
		for c.brokers[node%len(c.brokers)].Check() != nil && !c.isOver() {
			runtime.Gosched()
		}
	}
}

func (c *cluster) isOver() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.over || c.broken
}

// awaitAccepted waits until so many more messages are accepted.
func (c *cluster) awaitAccepted(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for want := len(c.accepted) + n; len(c.accepted) < want && !c.broken; {
		c.changed.Wait()
	}
}

func (c *cluster) fail(err error) {
	c.t.Error(err)
	c.change(func() { c.broken = true })
}

// keptReader is a subscriber of the kept channel. It checks what it is told as it comes.
type keptReader struct {
	c    *cluster
	next func() (string, error)

	// Guarded by c.mu.
	at   herald.Position
	got  map[string]bool
	gaps int
}

// subscribe opens subscribers on all nodes.
func (c *cluster) subscribe() {
	for i := range faultSubscribers {
		r := &keptReader{c: c, got: map[string]bool{}}
		if i%4 == 3 {
			st := c.node(i).Stream(c.t, heraldtest.WithPath("/events?channels=kept"))
			r.at = parseKept(c.t, st.NextMessage().Raw).at(c.t)
			r.next = func() (string, error) { return nextData(st) }
		} else {
			ws := c.node(i).Dial(c.t)
			r.at = askSince(c.t, ws, "kept", nil).at(c.t)
			r.next = func() (string, error) { m, err := ws.TryNext(); return m.Raw, err }
		}
		c.readers = append(c.readers, r)
	}
}

// nextData waits for as long as heartbeats come.
func nextData(st *heraldtest.Stream) (string, error) {
	for {
		block, err := st.NextBlock()
		if err != nil || block.Data != "" {
			return block.Data, err
		}
	}
}

// read reads until the reader is stopped, which it sees at the next message.
func (r *keptReader) read() {
	for {
		raw, err := r.next()
		if errors.Is(err, os.ErrDeadlineExceeded) && !r.c.isOver() {
			continue // nothing is said while the fault lasts
		}
		if err == nil {
			err = r.take(raw)
		}
		if err != nil {
			if !errors.Is(err, errStopReading) {
				r.c.fail(fmt.Errorf("a subscriber at %v: %w", r.at, err))
			}
			return
		}
	}
}

var errStopReading = errors.New("it was the last")

// take checks one message: it follows the last, or a gap says that it does not.
func (r *keptReader) take(raw string) error {
	m := parseKept(r.c.t, raw)
	var name, id string
	var at herald.Position
	if err := errors.Join(unmarshal(m.Event, &name), unmarshal(m.Data, &id)); err != nil && name != "gap" {
		return err
	}
	if name == "gap" {
		if err := unmarshal(m.Data, &at); err != nil {
			return err
		}
	} else {
		at = m.at(r.c.t)
	}
	var err error
	r.c.change(func() {
		follows := at.Epoch == r.at.Epoch && at.Offset == r.at.Offset+1
		switch {
		case name == "gap":
			r.gaps++
		case !follows:
			err = fmt.Errorf("got %s, want what follows", raw)
		case name == "last":
			err = errStopReading
		}
		r.at = at
		r.got[id] = true
	})
	return err
}

// await waits until the reader has a message, or has been told of a gap since it was said.
func (r *keptReader) await(id string) {
	c := r.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for gaps := r.gaps; !r.got[id] && r.gaps == gaps && !c.broken && !c.over; {
		c.changed.Wait()
	}
}

// room is the members that are on the presence channel, one connection each, and what each was told.
type faultRoom struct {
	t       *testing.T
	c       *cluster
	clients []*heraldtest.Client
	known   []*wsMembers
}

func (c *cluster) enterRoom() *faultRoom {
	room := &faultRoom{t: c.t, c: c}
	for i := range faultMembers {
		client := c.node(i).Dial(c.t)
		known := &wsMembers{}
		known.apply(c.t, client.Subscribe("presence-room", herald.Member{ID: "m" + strconv.Itoa(i)}))
		room.clients = append(room.clients, client)
		room.known = append(room.known, known)
	}
	return room
}

// check waits until every node and every member knows all of them.
func (r *faultRoom) check() {
	r.t.Helper()
	var all []string
	for i := range faultMembers {
		all = append(all, "m"+strconv.Itoa(i))
	}
	slices.Sort(all)
	for _, node := range r.c.nodes {
		wsEventually(r.t, "the node knows all members", func() bool {
			members, err := node.PresenceMembers(r.t.Context(), "presence-room")
			return err == nil && len(members) == faultMembers
		})
	}
	for i, client := range r.clients {
		for _, m := range client.Settle() {
			r.known[i].apply(r.t, m)
		}
		r.known[i].check(r.t, all...)
	}
}
