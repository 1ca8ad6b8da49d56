package redisbroker

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
	"github.com/herald-events/herald/internal/brokertest"
)

const room = "presence-room"

func (r *rig) apply(t testing.TB, changes ...herald.NodeChange) herald.Applied {
	t.Helper()
	applied, err := r.Apply(t.Context(), room, changes)
	if err != nil {
		t.Fatalf("Apply: %v", err)
	}
	return applied
}

// here lists the members as "id info".
func (r *rig) here(t testing.TB) []string {
	t.Helper()
	got, err := r.Members(t.Context(), room)
	if err != nil {
		t.Fatalf("Members: %v", err)
	}
	var all []string
	for _, m := range got.Members {
		all = append(all, m.ID+" "+string(m.Info))
	}
	return all
}

func isEqual[T comparable](t testing.TB, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestALostRoomBeginsAnEpoch(t *testing.T) {
	redis := heraldtest.StartRedisServer(t)
	a := start(t, redis)
	before := a.apply(t, brokertest.Comes(brokertest.Member("ann", "")))
	redis.Do("FLUSHALL")
	got, err := a.Members(t.Context(), room)
	if err != nil || got.Version.Epoch == before.Version.Epoch || len(got.Members) != 0 {
		t.Errorf("got %+v, %v, want an empty room of another epoch", got, err)
	}
	if err := a.Replace(t.Context(), room, []herald.NodeMember{brokertest.Member("ann", "")}); err != nil {
		t.Fatalf("Replace: %v", err)
	}
	isEqual(t, "members", a.here(t), []string{"ann "})
}

func shortLease(c *Config) { c.Lease = time.Second }

func TestMembersOfADeadNodeLeave(t *testing.T) {
	overEach(t, func(t *testing.T, redis *heraldtest.Redis) {
		a, b, c := start(t, redis, shortLease), start(t, redis, shortLease), start(t, redis, shortLease)
		a.subscribe(t, room, herald.Retention{})
		b.apply(t, brokertest.Comes(brokertest.Member("ann", "")), brokertest.Comes(brokertest.Member("bob", "")))
		c.apply(t, brokertest.Comes(brokertest.Member("bob", "")))
		b.kill()
		want := []string{"+ann", "+bob", "-ann"}
		isEqual(t, "changes", brokertest.Kinds(t, a.node.Changes(t, room, len(want))), want)
		isEqual(t, "members", a.here(t), []string{"bob "})
		eventually(t, "the dead node to be forgotten", func() bool {
			lives, err := a.lives(t.Context())
			return err == nil && len(lives) == 2
		})
	})
}

func TestANodeThatLostItsLeaseIsTold(t *testing.T) {
	redis := heraldtest.StartRedisServer(t)
	tests := []struct {
		name string
		lose func(r *rig)
	}{
		{"flushed", func(*rig) { redis.Do("FLUSHALL") }},
		{"ended by others", func(r *rig) {
			redis.Do("DEL", r.names.life(r.life.id())[0])
			if err := r.end(context.Background(), r.life.id(), ""); err != nil {
				t.Errorf("end: %v", err)
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := start(t, redis, shortLease)
			a.apply(t, brokertest.Comes(brokertest.Member("ann", "")))
			tt.lose(a)
			a.node.AwaitRestored(t)
			if err := a.Replace(t.Context(), room, []herald.NodeMember{brokertest.Member("ann", "")}); err != nil {
				t.Fatalf("Replace: %v", err)
			}
			isEqual(t, "members", a.here(t), []string{"ann "})
			a.stop()
		})
	}
}

func TestTheChannelsOfALifeAreThoseWithMembers(t *testing.T) {
	redis := heraldtest.StartRedisServer(t)
	a := start(t, redis)
	rooms := a.names.life(a.life.id())[2]
	for range 3 {
		a.apply(t, brokertest.Comes(brokertest.Member("ann", "")))
		if got := redis.Do("SCARD", rooms); got != ":1" {
			t.Errorf("got %s channels, want :1", got)
		}
		a.apply(t, brokertest.Goes("ann"))
		if got := redis.Do("SCARD", rooms); got != ":0" {
			t.Errorf("got %s channels, want :0", got)
		}
	}
}
