package brokertest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/herald-events/herald"
)

var presenceTests = []test{
	{"members come, change and leave", 1, false, testMembers},
	{"members are there while one node says so", 2, true, testMembersOfTwoNodes},
	{"a claimed id that is signed is refused", 2, false, testClaimed},
	{"Replace makes exactly these members", 2, false, testReplace},
	{"Replace leaves the members of others", 2, true, testReplaceOfTwoNodes},
	{"rooms are apart, and begin again", 1, false, testRooms},
	{"members leave with their node", 2, true, testStop},
}

const room = "presence-room"

// Member is a member that a backend vouches for; with an info it is that text.
func Member(id, info string) herald.NodeMember {
	m := herald.NodeMember{Member: herald.Member{ID: id}, Signed: true}
	if info != "" {
		m.Info = json.RawMessage(fmt.Sprintf("%q", info))
	}
	return m
}

// Claimed is a member for which nobody vouches.
func Claimed(id, info string) herald.NodeMember {
	m := Member(id, info)
	m.Signed = false
	return m
}

// Comes is a member that comes, or changes.
func Comes(m herald.NodeMember) herald.NodeChange { return herald.NodeChange{NodeMember: m} }

// Goes is a member that goes.
func Goes(id string) herald.NodeChange {
	return herald.NodeChange{NodeMember: Member(id, ""), Gone: true}
}

// Kinds lists changes as "+id", "~id info" and "-id", and checks that their versions count on by one.
func Kinds(t testing.TB, changes []herald.PresenceChange) []string {
	t.Helper()
	var all []string
	for i, c := range changes {
		if c.Version.Number != changes[0].Version.Number+uint64(i) || c.Version.Epoch != changes[0].Version.Epoch {
			t.Errorf("change %d: got version %+v after %+v", i+1, c.Version, changes[0].Version)
		}
		sign := map[herald.PresenceKind]string{herald.MemberAdded: "+", herald.MemberUpdated: "~", herald.MemberRemoved: "-"}[c.Kind]
		all = append(all, sign+c.Member.ID+string(c.Member.Info))
	}
	return all
}

func (r *rig) apply(t testing.TB, changes ...herald.NodeChange) herald.Applied {
	t.Helper()
	applied, err := r.Apply(t.Context(), room, changes)
	if err != nil {
		t.Fatalf("Apply: %v", err)
	}
	return applied
}

func (r *rig) replace(t testing.TB, members ...herald.NodeMember) {
	t.Helper()
	if err := r.Replace(t.Context(), room, members); err != nil {
		t.Fatalf("Replace: %v", err)
	}
}

// here lists the members as "id info", and checks that they are not behind what the node was told before.
func (r *rig) here(t testing.TB) []string {
	t.Helper()
	told := r.node.Changes(t, room, 0)
	got, err := r.Members(t.Context(), room)
	if err != nil {
		t.Fatalf("Members: %v", err)
	}
	for _, c := range told {
		if c.Version.Epoch == got.Version.Epoch && c.Version.Number > got.Version.Number {
			t.Errorf("got the members at %+v, though the node was told of %+v", got.Version, c)
		}
	}
	var all []string
	for _, m := range got.Members {
		all = append(all, m.ID+" "+string(m.Info))
	}
	return all
}

func testMembers(t *testing.T, rigs []*rig) {
	a := rigs[0]
	a.subscribe(t, room, herald.Retention{})
	isEqual(t, "members", a.here(t), nil)
	a.apply(t, Comes(Member("ann", "1")), Comes(Member("bob", "")), Comes(Member("cid", "")))
	a.apply(t, Comes(Member("ann", "1")))
	a.apply(t, Comes(Member("ann", "2")), Goes("bob"), Goes("nobody"), Comes(Claimed("dan", "")))
	isEqual(t, "members", a.here(t), []string{`ann "2"`, "cid ", "dan "})
	last := a.apply(t, Goes("ann"), Goes("ann"), Goes("cid"), Comes(Member("dan", "")))
	want := []string{`+ann"1"`, "+bob", "+cid", `~ann"2"`, "-bob", "+dan", "-ann", "-cid"}
	changes := a.node.Changes(t, room, len(want))
	isEqual(t, "changes", Kinds(t, changes), want)
	all, err := a.Members(t.Context(), room)
	if got := changes[len(changes)-1].Version; err != nil || got != last.Version || got != all.Version {
		t.Errorf("got the version %+v, of Apply %+v, of Members %+v, %v, want one", got, last.Version, all.Version, err)
	}
}

func testMembersOfTwoNodes(t *testing.T, rigs []*rig) {
	a, b := firstAndLast(rigs)
	for _, r := range rigs {
		r.subscribe(t, room, herald.Retention{})
	}
	a.apply(t, Comes(Member("ann", "1")), Comes(Member("bob", "")))
	b.apply(t, Comes(Member("ann", "1")), Comes(Member("cid", "")))
	isEqual(t, "members", b.here(t), []string{`ann "1"`, "bob ", "cid "})
	b.apply(t, Comes(Member("ann", "2")))
	a.apply(t, Goes("ann"), Goes("bob"), Goes("nobody"))
	isEqual(t, "members", a.here(t), []string{`ann "2"`, "cid "})
	last := b.apply(t, Goes("ann"), Goes("ann"), Goes("cid"))
	want := []string{`+ann"1"`, "+bob", "+cid", `~ann"2"`, "-bob", "-ann", "-cid"}
	for _, r := range rigs {
		changes := r.node.Changes(t, room, len(want))
		isEqual(t, "changes", Kinds(t, changes), want)
		if got := changes[len(changes)-1].Version; got != last.Version {
			t.Errorf("got version %+v, want %+v", got, last.Version)
		}
	}
	isEqual(t, "members", a.here(t), nil)
}

func testClaimed(t *testing.T, rigs []*rig) {
	a, b := firstAndLast(rigs)
	a.apply(t, Comes(Member("ann", "")), Comes(Claimed("bob", "")))
	applied := b.apply(t, Comes(Claimed("ann", "forged")), Comes(Claimed("bob", "")), Comes(Claimed("cid", "")))
	if len(applied.Refused) != 1 || !errors.Is(applied.Refused[0], &herald.Error{Code: herald.CodeBadMember}) {
		t.Fatalf("got %v, want the first refused", applied.Refused)
	}
	if got, want := applied.Refused[0].Error(), `the member id "ann" is taken`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	isEqual(t, "members", b.here(t), []string{"ann ", "bob ", "cid "})
	a.apply(t, Goes("ann"))
	if applied := b.apply(t, Comes(Claimed("ann", "free"))); len(applied.Refused) != 0 {
		t.Errorf("got %v, want it free", applied.Refused)
	}
}

func testReplace(t *testing.T, rigs []*rig) {
	a, b := firstAndLast(rigs)
	b.subscribe(t, room, herald.Retention{})
	a.apply(t, Comes(Member("ann", "")), Comes(Member("bob", "")), Comes(Claimed("dan", "")))
	a.replace(t, Member("cid", ""), Member("ann", "2"), Claimed("dan", ""))
	isEqual(t, "members", b.here(t), []string{`ann "2"`, "dan ", "cid "})
	a.replace(t, Member("cid", ""), Member("ann", "2"), Claimed("dan", "")) // changes nothing
	a.replace(t)
	a.replace(t)
	isEqual(t, "members", b.here(t), nil)
	want := []string{"+ann", "+bob", "+dan", "-bob", "+cid", `~ann"2"`, "-ann", "-cid", "-dan"}
	kinds := Kinds(t, b.node.Changes(t, room, len(want)))
	slices.Sort(kinds[min(6, len(kinds)):])
	isEqual(t, "changes", kinds, want)
	if applied := b.apply(t, Comes(Claimed("ann", ""))); len(applied.Refused) != 0 {
		t.Errorf("got %v, want nobody to be signed any more", applied.Refused)
	}
}

func testReplaceOfTwoNodes(t *testing.T, rigs []*rig) {
	a, b := firstAndLast(rigs)
	a.apply(t, Comes(Member("ann", "")), Comes(Member("bob", "")))
	b.apply(t, Comes(Member("bob", "")))
	a.replace(t, Member("cid", ""))
	isEqual(t, "members", b.here(t), []string{"bob ", "cid "})
	a.replace(t, Claimed("bob", "forged"))
	isEqual(t, "members", b.here(t), []string{"bob "})
}

func testRooms(t *testing.T, rigs []*rig) {
	a := rigs[0]
	another := func(changes ...herald.NodeChange) {
		if _, err := a.Apply(t.Context(), "presence-other", changes); err != nil {
			t.Fatalf("Apply: %v", err)
		}
	}
	a.subscribe(t, room, herald.Retention{})
	for range 3 {
		a.apply(t, Comes(Member("ann", "")))
		another(Comes(Member("bob", "")), Comes(Member("cid", "")))
		a.apply(t, Goes("ann"))
		another(Goes("bob"), Goes("cid"))
	}
	all := a.node.Changes(t, room, 6)
	for i, c := range all[1:] {
		if c.Version.Epoch == all[i].Version.Epoch && c.Version.Number <= all[i].Version.Number {
			t.Errorf("got the version %+v after %+v", c.Version, all[i].Version)
		}
	}
}

func testStop(t *testing.T, rigs []*rig) {
	a, b := firstAndLast(rigs)
	a.subscribe(t, room, herald.Retention{})
	b.apply(t, Comes(Member("ann", "")))
	b.Stop()
	isEqual(t, "changes", Kinds(t, a.node.Changes(t, room, 2)), []string{"+ann", "-ann"})
}
