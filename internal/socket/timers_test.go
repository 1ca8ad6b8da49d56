package socket

import (
	"math/rand/v2"
	"testing"
)

// TestTimersAgainstAModel schedules at random and compares with a plain map of times.
func TestTimersAgainstAModel(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	for _, tt := range []struct {
		name                string
		conns, times, steps int
	}{
		{"one", 1, 3, 200},
		{"few, that often meet", 8, 4, 5000},
		{"many", 500, 1 << 40, 20_000},
		{"many at few times", 500, 10, 20_000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, uint64(tt.conns)))
			var h timers
			conns := make([]*Conn, tt.conns)
			for i := range conns {
				conns[i] = &Conn{timer: -1}
			}
			want := map[*Conn]int64{}
			for range tt.steps {
				c := conns[random.IntN(len(conns))]
				at := 1 + random.Int64N(int64(tt.times))
				switch random.IntN(4) {
				case 0:
					at = 0 // takes it out
				case 1:
					if len(h) > 0 {
						c = h[0].conn // as the loop does with what is due
					}
				}
				h.schedule(c, at)
				if want[c] = at; at == 0 {
					delete(want, c)
				}
				checkTimers(t, h, conns, want)
			}
			for last := int64(0); h.next() != 0; {
				if h.next() < last {
					t.Fatalf("%d comes after %d", h.next(), last)
				}
				last = h.next()
				delete(want, h[0].conn)
				h.schedule(h[0].conn, 0)
				checkTimers(t, h, conns, want)
			}
			if len(want) > 0 {
				t.Errorf("%d have never come", len(want))
			}
		})
	}
}

func checkTimers(t *testing.T, h timers, conns []*Conn, want map[*Conn]int64) {
	t.Helper()
	if len(h) != len(want) {
		t.Fatalf("%d are in, want %d", len(h), len(want))
	}
	var first int64
	for _, at := range want {
		if first == 0 || at < first {
			first = at
		}
	}
	if h.next() != first {
		t.Fatalf("the next comes at %d, want %d", h.next(), first)
	}
	for _, c := range conns {
		at, in := want[c]
		switch {
		case !in && c.timer != -1:
			t.Fatalf("who is not in says that it stands at %d", c.timer)
		case in && (c.timer < 0 || int(c.timer) >= len(h) || h[c.timer] != timer{at, c}):
			t.Fatalf("who is in at %d says that it stands at %d of %d, where it is not", at, c.timer, len(h))
		}
	}
}
