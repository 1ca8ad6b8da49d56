package herald_test

import (
	"crypto/rand"
	"io"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
	"github.com/herald-events/herald/internal/clock"
	"github.com/herald-events/herald/redisbroker"
)

// noticeRig is nodes whose notices of channels and members are heard, and whose time a test moves.
type noticeRig struct {
	*testing.T
	redis *heraldtest.Redis
	clock *clock.Manual
	nodes []*heraldtest.Server
	lines []*redisLine // of each node
	heard []heardNotices
	// longest is what somebody may wait before he tells.
	longest time.Duration
}

// passes has ten times the real time pass until something holds: nodes wait for each other, and how long they take for
// what they do is to stay little beside that.
func (r *noticeRig) passes(what string, holds func() bool) {
	r.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	wsEventually(r.T, what, func() bool {
		if holds() {
			return true
		}
		<-tick.C
		r.clock.Advance(100 * time.Millisecond)
		return false
	})
}

// startNoticeRig starts nodes that are a lease away from being given up.
func startNoticeRig(t *testing.T, redis *heraldtest.Redis, n int, lease time.Duration) *noticeRig {
	t.Helper()
	r := &noticeRig{T: t, redis: redis, clock: clock.NewManual(time.Now()), longest: 10 * time.Second}
	ended, moved := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { // behind those of the nodes
		close(ended)
		<-moved
	})
	for range n {
		line := openRedisLine(t, redis)
		config := quiet(t, herald.WithClock(herald.Config{Notices: []string{"channel.*", "member.*"}, KeepAlive: never, DrainTimeout: 10 * time.Second}, r.clock))
		broker, err := redisbroker.New(redisbroker.Config{URL: line.url(), Prefix: redis.Prefix, Logger: config.Logger, Lease: lease})
		if err != nil {
			t.Fatal(err)
		}
		config.Broker = broker
		node := heraldtest.Start(t, config)
		r.nodes, r.lines = append(r.nodes, node), append(r.lines, line)
		r.heard = append(r.heard, hearNotices(t, node.Server, "**"))
		r.awaitReady(node)
	}
	t.Cleanup(func() { go r.moveUntil(ended, moved) })
	return r
}

// moveUntil has the time pass while the nodes end, of which one may be cut off.
func (r *noticeRig) moveUntil(ended <-chan struct{}, moved chan<- struct{}) {
	defer close(moved)
	for {
		select {
		case <-ended:
			return
		default:
			r.clock.Advance(10 * time.Millisecond)
			runtime.Gosched()
		}
	}
}

func (r *noticeRig) awaitReady(node *heraldtest.Server) {
	r.Helper()
	r.passes("the node is ready", func() bool {
		return herald.KnowsWhatIsThere(node.Server) && httpCall(r, node.HTTP(), http.MethodGet, node.URL+"/readyz", "").Status == http.StatusOK
	})
}

// expect waits for exactly these on every node, or on those that are named.
func (r *noticeRig) expect(want []string, on ...int) {
	r.Helper()
	if len(on) == 0 {
		for i := range r.nodes {
			on = append(on, i)
		}
	}
	for _, i := range on {
		r.passes(strings.Join(want, ", "), func() bool { return len(r.heard[i]) >= len(want) })
		r.heard[i].expect(r.T, want...)
	}
}

// nothingElse has the time pass in which somebody may tell anything, and occupies a channel on each node.
func (r *noticeRig) nothingElse(on ...int) {
	r.Helper()
	until := r.clock.Now().Add(r.longest)
	r.passes("the time passes", func() bool { return !r.clock.Now().Before(until) })
	for i, node := range r.nodes {
		if len(on) > 0 && i != on[0] {
			continue
		}
		name := "fence-" + rand.Text()
		node.Dial(r).Subscribe(name)
		r.expect([]string{occupied(name)}, on...)
	}
}

func (r *noticeRig) join(node int, member string) *heraldtest.Client {
	r.Helper()
	c := r.nodes[node].Dial(r)
	c.Subscribe(nodesRoom, herald.Member{ID: member})
	return c
}

func (r *noticeRig) awaitMembers(node int, want string) {
	r.Helper()
	apiComesToSay(r.T, r.nodes[node:node+1], "/channels/"+nodesRoom+"/members", want)
}

// redisLine is a node's way to Redis, which a test cuts.
type redisLine struct {
	listener net.Listener
	redis    string
	all      sync.WaitGroup

	mu    sync.Mutex // guards the fields below
	isCut bool
	conns []net.Conn
}

func openRedisLine(t *testing.T, redis *heraldtest.Redis) *redisLine {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &redisLine{listener: listener, redis: redis.Addr()}
	l.all.Go(l.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		l.cut()
		l.all.Wait()
	})
	return l
}

func (l *redisLine) url() string { return "redis://" + l.listener.Addr().String() }

func (l *redisLine) accept() {
	for {
		node, err := l.listener.Accept()
		if err != nil {
			return // the test is over
		}
		redis, err := net.Dial("tcp", l.redis)
		if err != nil || !l.admits(node, redis) {
			_ = node.Close()
			continue
		}
		for _, way := range [][2]net.Conn{{node, redis}, {redis, node}} {
			l.all.Go(func() {
				_, _ = io.Copy(way[0], way[1])
				_ = way[0].Close()
			})
		}
	}
}

func (l *redisLine) admits(node, redis net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isCut {
		_ = redis.Close()
		return false
	}
	l.conns = append(l.conns, node, redis)
	return true
}

func (l *redisLine) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isCut = true
	for _, c := range l.conns {
		_ = c.Close()
	}
	l.conns = nil
}

func (l *redisLine) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isCut = false
}

var nodesNoticeTests = []nodesTest{
	{"each notice comes once, whichever nodes it is about", nodesNoticesOnce},
	{"who goes to another node at once has not been away", nodesNoticesMove},
	{"what a dead node had is vacated", nodesNoticesOfADeadNode},
	{"a node that was cut off tells nothing again", nodesNoticesAfterACut},
	{"a node that ends vacates what it has", nodesNoticesOfTheEnd},
}

// TestNoticesOfNodes is what nodes tell together that share a Redis.
func TestNoticesOfNodes(t *testing.T) {
	t.Parallel()
	overRedis(t, nodesNoticeTests)
}

func nodesNoticesOnce(t *testing.T, redis *heraldtest.Redis) {
	r := startNoticeRig(t, redis, 2, 15*time.Second)
	first := r.join(0, "ann")
	r.expect([]string{occupied(nodesRoom), added(nodesRoom, `{"id":"ann"}`)})
	second := r.join(1, "ann")
	third := r.join(1, "bob")
	r.expect([]string{added(nodesRoom, `{"id":"bob"}`)})
	first.Close()
	r.nothingElse()
	second.Close()
	r.expect([]string{removed(nodesRoom, "ann")})
	third.Close()
	r.expect([]string{vacated(nodesRoom), removed(nodesRoom, "bob")})
	r.nothingElse()
	if answer := apiCall(t, r.nodes[0], http.MethodGet, "/channels", ""); strings.Contains(answer.Body, ":notices") {
		t.Errorf("got %s, want the channels alone", answer.Body)
	}
}

func nodesNoticesMove(t *testing.T, redis *heraldtest.Redis) {
	r := startNoticeRig(t, redis, 2, 15*time.Second)
	c := r.join(0, "ann")
	r.expect([]string{occupied(nodesRoom), added(nodesRoom, `{"id":"ann"}`)})
	for i := range 4 {
		c.Close()
		r.awaitMembers(i%2, `{"members":[]}`)
		// Altogether less than the grace, as the clock leaves a node that hears late of who is there again no time.
		r.clock.Advance(noticeGrace / 5)
		c = r.join((i+1)%2, "ann")
		r.awaitMembers(i%2, `{"members":[{"id":"ann"}]}`)
	}
	r.nothingElse()
}

func nodesNoticesOfADeadNode(t *testing.T, redis *heraldtest.Redis) {
	r := startNoticeRig(t, redis, 3, time.Second)
	r.join(0, "ann")
	r.expect([]string{occupied(nodesRoom), added(nodesRoom, `{"id":"ann"}`)})
	r.nodes[0].Dial(t).Subscribe("orders")
	r.expect([]string{occupied("orders")})
	r.join(1, "bob")
	r.expect([]string{added(nodesRoom, `{"id":"bob"}`)})
	r.lines[0].cut() // which is all that the others see of its death
	r.expect([]string{vacated("orders"), removed(nodesRoom, "ann")}, 1, 2)
	r.nothingElse(1, 2)
}

func nodesNoticesAfterACut(t *testing.T, redis *heraldtest.Redis) {
	r := startNoticeRig(t, redis, 3, time.Minute)
	ann := r.join(0, "ann")
	r.expect([]string{occupied(nodesRoom), added(nodesRoom, `{"id":"ann"}`)})
	r.lines[2].cut()
	r.nodes[0].Dial(t).Subscribe("orders")
	r.expect([]string{occupied("orders")}, 0, 1)
	ann.Close()
	r.expect([]string{vacated(nodesRoom), removed(nodesRoom, "ann")}, 0, 1)
	r.lines[2].mend()
	r.expect([]string{occupied("orders"), vacated(nodesRoom), removed(nodesRoom, "ann")}, 2) // which it has missed
	r.awaitReady(r.nodes[2])
	r.nothingElse()
}

func nodesNoticesOfTheEnd(t *testing.T, redis *heraldtest.Redis) {
	r := startNoticeRig(t, redis, 2, time.Minute)
	r.join(0, "ann")
	r.expect([]string{occupied(nodesRoom), added(nodesRoom, `{"id":"ann"}`)})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		closeServer(t, r.nodes[0].Server)
	}()
	r.expect([]string{vacated(nodesRoom), removed(nodesRoom, "ann")}, 1)
	r.passes("the node has ended", func() bool {
		select {
		case <-ended:
			return true
		default:
			return false
		}
	})
	r.nothingElse(1)
}

// What a Redis forgets that loses its data is not told again.
func TestNoticesWhenRedisLosesItsData(t *testing.T) {
	t.Parallel()
	redis := heraldtest.StartRedisServer(t)
	r := startNoticeRig(t, redis, 2, time.Second)
	r.longest = 25 * time.Second // past the time in which nodes tell Redis again what they have
	ann := r.join(0, "ann")
	r.expect([]string{occupied(nodesRoom), added(nodesRoom, `{"id":"ann"}`)})
	redis.Do("FLUSHALL")
	for i := range r.nodes {
		r.passes("the member is told of again", func() bool {
			return strings.Contains(apiCall(t, r.nodes[i], http.MethodGet, "/channels/"+nodesRoom+"/members", "").Body, "ann")
		})
	}
	r.nothingElse()
	ann.Close()
	r.expect([]string{vacated(nodesRoom), removed(nodesRoom, "ann")})
	r.nothingElse()
}

// The rooms of the notices are in slots of their own.
func TestNoticesOverARedisCluster(t *testing.T) {
	t.Parallel()
	overRedisCluster(t, []nodesTest{{"each comes once", func(t *testing.T, redis *heraldtest.Redis) {
		nodes := startNodesOver(t, redis, 2, herald.Config{Notices: []string{"channel.*", "member.*"}})
		var heard []heardNotices
		for _, node := range nodes {
			wsEventually(t, "the node knows what is there", func() bool { return herald.KnowsWhatIsThere(node.Server) })
			heard = append(heard, hearNotices(t, node.Server, "**"))
		}
		for i, want := range [][]string{{occupied(nodesRoom), added(nodesRoom, `{"id":"0"}`)}, {added(nodesRoom, `{"id":"1"}`)}} {
			nodes[i].Dial(t).Subscribe(nodesRoom, herald.Member{ID: strconv.Itoa(i)})
			for _, h := range heard {
				h.expect(t, want...)
			}
		}
	}}})
}
