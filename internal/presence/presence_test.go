package presence

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

func join(connection, member string) Join {
	return Join{Channel: "presence-x", Connection: connection, Member: Member{ID: member}}
}

func TestMemberCountsOnce(t *testing.T) {
	r := New()
	for i, want := range []bool{true, false, false} {
		first, err := r.Join(join(fmt.Sprint(i), "ann"))
		if err != nil || first != want {
			t.Errorf("join %d: got first %v, %v; want %v", i, first, err, want)
		}
	}
	if got := r.Count("presence-x"); got != 1 {
		t.Errorf("got %d members, want 1", got)
	}
	for i, want := range []bool{false, false, true} {
		if last := r.Leave("presence-x", fmt.Sprint(i), "ann"); last != want {
			t.Errorf("leave %d: got last %v, want %v", i, last, want)
		}
	}
	if len(r.rooms) != 0 {
		t.Errorf("got %d rooms left, want none", len(r.rooms))
	}
}

func TestLeaveOfAStrangerChangesNothing(t *testing.T) {
	r := New()
	if _, err := r.Join(join("1", "ann")); err != nil {
		t.Fatal(err)
	}
	for _, leave := range [][3]string{{"presence-y", "1", "ann"}, {"presence-x", "2", "ann"}, {"presence-x", "1", "bob"}} {
		if r.Leave(leave[0], leave[1], leave[2]) {
			t.Errorf("leave %v: got last, want nothing", leave)
		}
	}
	if got := r.Count("presence-x"); got != 1 {
		t.Errorf("got %d members, want 1", got)
	}
}

func TestNewestInfoWins(t *testing.T) {
	r := New()
	for i, info := range []string{`{"a":1}`, `{"a":2}`} {
		j := join(fmt.Sprint(i), "ann")
		j.Member.Info = []byte(info)
		if _, err := r.Join(j); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := string(r.Members("presence-x")[0].Info), `{"a":2}`; got != want {
		t.Errorf("got info %s, want %s", got, want)
	}
}

func TestClaimedIDCannotTakeASignedOne(t *testing.T) {
	r := New()
	signed := join("1", "ann")
	signed.Signed = true
	if _, err := r.Join(signed); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Join(join("2", "ann")); !errors.Is(err, ErrHeld) {
		t.Errorf("got %v, want ErrHeld", err)
	}
	r.Leave("presence-x", "1", "ann")
	if first, err := r.Join(join("2", "ann")); err != nil || !first {
		t.Errorf("after the signed one left: got first %v, %v; want true, nil", first, err)
	}
}

// TestAgainstAModel joins and leaves at random and compares with the plainest possible model.
func TestAgainstAModel(t *testing.T) {
	r := New()
	type seat struct{ connection, member string }
	present := []seat{}
	names := func() []string {
		var ids []string
		for _, s := range present {
			if !slices.Contains(ids, s.member) {
				ids = append(ids, s.member)
			}
		}
		slices.Sort(ids)
		return ids
	}
	for range 20_000 {
		s := seat{fmt.Sprint(rand.N(8)), fmt.Sprint("m", rand.N(5))}
		here := slices.Contains(present, s)
		before := slices.Contains(names(), s.member)
		if rand.N(2) == 0 {
			first, err := r.Join(join(s.connection, s.member))
			if err != nil || first == before {
				t.Fatalf("join %v: got first %v, %v while present is %v", s, first, err, before)
			}
			if !here {
				present = append(present, s)
			}
		} else {
			present = slices.DeleteFunc(present, func(o seat) bool { return o == s })
			want := before && !slices.Contains(names(), s.member)
			if last := r.Leave("presence-x", s.connection, s.member); last != want {
				t.Fatalf("leave %v: got last %v, want %v", s, last, want)
			}
		}
		var got []string
		for _, m := range r.Members("presence-x") {
			got = append(got, m.ID)
		}
		slices.Sort(got)
		if !slices.Equal(got, names()) || r.Count("presence-x") != len(got) {
			t.Fatalf("got members %v, want %v", got, names())
		}
	}
}
