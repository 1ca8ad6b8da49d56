package redisbroker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

const room = "presence-room"

// member is a member as a node has it; its info is its id.
func member(id, info string) herald.NodeMember {
	m := herald.NodeMember{Member: herald.Member{ID: id}, Signed: true}
	if info != "" {
		m.Info = json.RawMessage(fmt.Sprintf("%q", info))
	}
	return m
}

func claimed(id, info string) herald.NodeMember {
	m := member(id, info)
	m.Signed = false
	return m
}

func comes(m herald.NodeMember) herald.NodeChange { return herald.NodeChange{NodeMember: m} }
func goes(id string) herald.NodeChange {
	return herald.NodeChange{NodeMember: member(id, ""), Gone: true}
}

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

// kinds lists changes as "+id", "~id info" and "-id", and checks that their versions count on from 1.
func kinds(t testing.TB, changes []herald.PresenceChange) []string {
	t.Helper()
	var all []string
	for i, c := range changes {
		if c.Version.Number != uint64(i+1) || c.Version.Epoch != changes[0].Version.Epoch {
			t.Errorf("change %d: got version %+v", i+1, c.Version)
		}
		sign := map[herald.PresenceKind]string{herald.MemberAdded: "+", herald.MemberUpdated: "~", herald.MemberRemoved: "-"}[c.Kind]
		all = append(all, sign+c.Member.ID+string(c.Member.Info))
	}
	return all
}

func TestMembersComeAndLeaveOnce(t *testing.T) {
	overEach(t, func(t *testing.T, redis *heraldtest.Redis) {
		a, b := start(t, redis), start(t, redis)
		for _, r := range []*rig{a, b} {
			r.subscribe(t, room, herald.Retention{})
		}
		a.apply(t, comes(member("ann", "1")), comes(member("bob", "")))
		b.apply(t, comes(member("ann", "1")), comes(member("cid", "")))
		isEqual(t, "members", b.here(t), []string{`ann "1"`, "bob ", "cid "})
		b.apply(t, comes(member("ann", "2")))
		a.apply(t, goes("ann"), goes("bob"), goes("nobody"))
		isEqual(t, "members", a.here(t), []string{`ann "2"`, "cid "})
		last := b.apply(t, goes("ann"), goes("ann"), goes("cid"))
		want := []string{`+ann"1"`, "+bob", "+cid", `~ann"2"`, "-bob", "-ann", "-cid"}
		for _, r := range []*rig{a, b} {
			changes := r.node.changesOf(t, room, len(want))
			isEqual(t, "changes", kinds(t, changes), want)
			if got := changes[len(changes)-1].Version; got != last.Version {
				t.Errorf("got version %+v, want %+v", got, last.Version)
			}
		}
		isEqual(t, "members", a.here(t), nil)
	})
}

func TestAClaimedIDThatIsSignedIsRefused(t *testing.T) {
	overEach(t, func(t *testing.T, redis *heraldtest.Redis) {
		a, b := start(t, redis), start(t, redis)
		a.apply(t, comes(member("ann", "")), comes(claimed("bob", "")))
		applied := b.apply(t, comes(claimed("ann", "forged")), comes(claimed("bob", "")), comes(claimed("cid", "")))
		if len(applied.Refused) != 1 || !errors.Is(applied.Refused[0], &herald.Error{Code: herald.CodeBadMember}) {
			t.Fatalf("got %v, want the first refused", applied.Refused)
		}
		if got, want := applied.Refused[0].Error(), `the member id "ann" is taken`; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		isEqual(t, "members", b.here(t), []string{"ann ", "bob ", "cid "})
		a.apply(t, goes("ann"))
		if applied := b.apply(t, comes(claimed("ann", "free"))); len(applied.Refused) != 0 {
			t.Errorf("got %v, want it free", applied.Refused)
		}
	})
}

func TestReplaceMakesExactlyTheseMembers(t *testing.T) {
	overEach(t, func(t *testing.T, redis *heraldtest.Redis) {
		a, b := start(t, redis), start(t, redis)
		b.subscribe(t, room, herald.Retention{})
		a.apply(t, comes(member("ann", "")), comes(member("bob", "")))
		b.apply(t, comes(member("bob", "")))
		if err := a.Replace(t.Context(), room, []herald.NodeMember{member("cid", ""), member("ann", "2")}); err != nil {
			t.Fatalf("Replace: %v", err)
		}
		isEqual(t, "members", a.here(t), []string{`ann "2"`, "bob ", "cid "})
		if err := a.Replace(t.Context(), room, nil); err != nil {
			t.Fatalf("Replace: %v", err)
		}
		want := []string{"+ann", "+bob", "+cid", `~ann"2"`, "-ann", "-cid"}
		changes := b.node.changesOf(t, room, len(want))
		isEqual(t, "changes", kinds(t, changes)[:4], want[:4])
		isEqual(t, "members", a.here(t), []string{"bob "})
	})
}

func TestALostRoomBeginsAnEpoch(t *testing.T) {
	redis := heraldtest.StartRedisServer(t)
	a := start(t, redis)
	before := a.apply(t, comes(member("ann", "")))
	redis.Do("FLUSHALL")
	got, err := a.Members(t.Context(), room)
	if err != nil || got.Version.Epoch == before.Version.Epoch || len(got.Members) != 0 {
		t.Errorf("got %+v, %v, want an empty room of another epoch", got, err)
	}
	if err := a.Replace(t.Context(), room, []herald.NodeMember{member("ann", "")}); err != nil {
		t.Fatalf("Replace: %v", err)
	}
	isEqual(t, "members", a.here(t), []string{"ann "})
}

func shortLease(c *Config) { c.Lease = time.Second }

func TestMembersOfADeadNodeLeave(t *testing.T) {
	overEach(t, func(t *testing.T, redis *heraldtest.Redis) {
		a, b, c := start(t, redis, shortLease), start(t, redis, shortLease), start(t, redis, shortLease)
		a.subscribe(t, room, herald.Retention{})
		b.apply(t, comes(member("ann", "")), comes(member("bob", "")))
		c.apply(t, comes(member("bob", "")))
		b.kill()
		want := []string{"+ann", "+bob", "-ann"}
		isEqual(t, "changes", kinds(t, a.node.changesOf(t, room, len(want))), want)
		isEqual(t, "members", a.here(t), []string{"bob "})
		eventually(t, "the dead node to be forgotten", func() bool {
			lives, err := a.lives(t.Context())
			return err == nil && len(lives) == 2
		})
	})
}

func TestMembersLeaveWithTheirNode(t *testing.T) {
	overEach(t, func(t *testing.T, redis *heraldtest.Redis) {
		a, b := start(t, redis), start(t, redis)
		a.subscribe(t, room, herald.Retention{})
		b.apply(t, comes(member("ann", "")))
		b.stop()
		isEqual(t, "changes", kinds(t, a.node.changesOf(t, room, 2)), []string{"+ann", "-ann"})
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
			a.apply(t, comes(member("ann", "")))
			tt.lose(a)
			a.node.await(t, "Restored", func() bool { return a.node.restored > 0 })
			if err := a.Replace(t.Context(), room, []herald.NodeMember{member("ann", "")}); err != nil {
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
		a.apply(t, comes(member("ann", "")))
		if got := redis.Do("SCARD", rooms); got != ":1" {
			t.Errorf("got %s channels, want :1", got)
		}
		a.apply(t, goes("ann"))
		if got := redis.Do("SCARD", rooms); got != ":0" {
			t.Errorf("got %s channels, want :0", got)
		}
	}
}
