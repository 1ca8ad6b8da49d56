package herald_test

import (
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/herald-events/herald/heraldtest"
)

// faultsVariable has the long faults tested as well.
const faultsVariable = "HERALD_TEST_FAULTS"

// fault is something that happens to Redis.
type fault struct {
	name    string
	options []string // of the server
	begin   func(*faultRig)
	during  func(*faultRig) // holds while it lasts; nil: nothing in particular
	end     func(*faultRig) // nil: it has ended by itself
	lossy   bool            // Redis loses what it had
	leaves  bool            // members leave meanwhile
	long    bool
}

// withData has Redis keep everything that it has answered. With everysec it writes later while the disk is busy.
var withData = []string{"--appendonly", "yes", "--appendfsync", "always"}

var faults = []fault{
	{
		name: "killed and started again, with its data", options: withData, leaves: true,
		begin: func(r *faultRig) { r.redis.Kill() }, during: aloneOnAll, end: func(r *faultRig) { r.redis.Start() },
	},
	{
		name: "killed and started again, without its data", lossy: true,
		begin: func(r *faultRig) { r.redis.Kill() }, during: aloneOnAll, end: func(r *faultRig) { r.redis.Start() },
	},
	{
		name: "all subscriptions cut (CLIENT KILL TYPE pubsub)", leaves: true,
		begin:  func(r *faultRig) { r.redis.Do("CLIENT", "KILL", "TYPE", "pubsub") },
		during: (*faultRig).awaitNoticed,
	},
	{
		name: "busy for 2 s (DEBUG SLEEP)", options: []string{"--enable-debug-command", "yes"}, leaves: true,
		begin: func(r *faultRig) { r.redis.Do("DEBUG", "SLEEP", "2") },
	},
	{
		name: "memory full", leaves: true,
		begin: func(r *faultRig) { r.redis.Do("CONFIG", "SET", "maxmemory", "1") }, during: refusesKept,
		end: func(r *faultRig) { r.redis.Do("CONFIG", "SET", "maxmemory", "0") },
	},
	{
		name: "flushed (FLUSHALL)", lossy: true,
		begin: func(r *faultRig) { r.redis.Do("FLUSHALL") }, during: (*faultRig).awaitEpoch,
	},
	{
		name: "frozen for 30 s (SIGSTOP)", leaves: true, long: true,
		begin: func(r *faultRig) { r.redis.Pause() },
		during: func(r *faultRig) {
			over := time.Now().Add(30 * time.Second)
			aloneOnAll(r)
			r.eventually("30 s are over", time.Minute, func() bool { return time.Now().After(over) })
		},
		end: func(r *faultRig) { r.redis.Resume() },
	},
	{
		name: "killed for 30 s and started again, without its data, members leave meanwhile", lossy: true, leaves: true, long: true,
		begin: func(r *faultRig) { r.redis.Kill() },
		during: func(r *faultRig) {
			over := time.Now().Add(30 * time.Second)
			aloneOnAll(r)
			r.eventually("30 s are over", time.Minute, func() bool { return time.Now().After(over) })
		},
		end: func(r *faultRig) { r.redis.Start() },
	},
}

// TestFaults does to Redis what may happen to it, while 200 connections on three nodes listen and four publishers
// publish. Afterwards the record of each is complete and in order, or says where something is missing;
// everybody knows who is present; nothing has leaked.
func TestFaults(t *testing.T) {
	heraldtest.StartRedisServer(t) // what starts processes stays
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			skipLong(t, f.long)
			leavesNothing(t, func(t *testing.T) {
				r := newFaultRig(t, heraldtest.StartRedisServer(t, f.options...), faultNodes)
				r.begin()
				r.suffer(&f)
			})
		})
	}
}

func skipLong(t *testing.T, long bool) {
	t.Helper()
	if long && os.Getenv(faultsVariable) == "" {
		t.Skipf("takes long; %s=1 or make test-faults runs it", faultsVariable)
	}
}

// leavesNothing runs a test and waits until no goroutine and no descriptor is left of it.
func leavesNothing(t *testing.T, test func(*testing.T)) {
	goroutines, descriptors := runtime.NumGoroutine(), openDescriptors(t)
	t.Run("and nothing leaks", test)
	r := faultRig{T: t}
	r.eventually("no goroutine and no descriptor is left", patience, func() bool {
		return runtime.NumGoroutine() <= goroutines && openDescriptors(t) <= descriptors
	})
}

// suffer goes through a fault.
func (r *faultRig) suffer(f *fault) {
	r.Helper()
	r.fell = time.Now()
	f.begin(r)
	if f.leaves {
		r.leave()
	}
	if f.during != nil {
		f.during(r)
	}
	lasted := time.Since(r.fell)
	ended := time.Now()
	if f.end != nil {
		f.end(r)
	}
	r.awaitReady()
	r.markSure()
	ready := time.Since(ended)
	r.joinAs(0, "new-0", false)
	r.joinAs(1, "new-1", true)
	r.awaitSure()
	r.finish()
	lost := r.check(f)
	r.checkCounts()
	report(r.T, faultResult{name: f.name, lasted: lasted, ready: ready, whole: time.Since(ended), lost: lost})
	for _, e := range r.all() {
		if !e.hungUp {
			e.leave()
		}
	}
	r.eventually("nobody is left", patience, func() bool {
		for node := range r.nodes {
			if len(r.membersOn(node)) > 0 || r.askAll(node) > 0 {
				return false
			}
		}
		return true
	})
}

// aloneOnAll waits until all nodes know that Redis is away, and checks what they do then.
func aloneOnAll(r *faultRig) {
	r.Helper()
	for node := range r.nodes {
		r.awaitAway(node)
	}
	for node := range r.nodes {
		r.ears.plain = append(r.ears.plain, r.checkAlone(node))
	}
}

// awaitNoticed waits until all nodes have found that Redis was away.
func (r *faultRig) awaitNoticed() {
	r.Helper()
	for node, away := range r.away {
		r.eventually(fmt.Sprintf("node %d has noticed", node), patience, func() bool { return away.count() > 0 })
	}
}

// refusesKept waits until all that is kept is refused, while all else goes on.
func refusesKept(r *faultRig) {
	r.Helper()
	for node := range r.nodes {
		url := r.nodes[node].URL + "/api/v1"
		for path, body := range map[string]string{
			"/broadcast": `{"channel":"kept","event":"x","data":{}}`, "/events": `{"type":"test.refused","payload":{}}`,
		} {
			if status, text := faultPost(r.client, url+path, body); status != 503 {
				r.Errorf("node %d, %s: got %d %s, want 503", node, path, status, text)
			}
		}
		if status, text := faultPost(r.client, url+"/broadcast", `{"channel":"plain","event":"x","data":{}}`); status != 200 {
			r.Errorf("node %d: got %d %s, want what is not kept to go on", node, status, text)
		}
	}
	for _, v := range r.voices {
		r.eventually("publisher "+v.name+" is refused", patience, func() bool {
			v.mu.Lock()
			defer v.mu.Unlock()
			return v.refused > 1
		})
	}
}

// awaitEpoch waits until all who listen to the kept channel are told of a gap.
func (r *faultRig) awaitEpoch() {
	r.Helper()
	for _, e := range r.ears.kept {
		r.eventually(e.name+" is told of a gap", patience, func() bool {
			for _, text := range e.record() {
				if parseHeard(r.T, text).is("gap") {
					return true
				}
			}
			return false
		})
	}
}
