package redisbroker

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

func (r *rig) read(t testing.TB, stream string, keep herald.Retention, rg herald.Range) herald.Page {
	t.Helper()
	page, err := r.Read(t.Context(), stream, keep, rg)
	if err != nil {
		t.Fatalf("Read(%q, %+v): %v", stream, rg, err)
	}
	return page
}

func offsets(p herald.Page) []uint64 {
	var all []uint64
	for _, e := range p.Entries {
		all = append(all, e.Offset)
	}
	return all
}

func (r *rig) fill(t testing.TB, stream string, n int, keep herald.Retention) herald.Position {
	t.Helper()
	var last herald.Receipt
	for i := range n {
		last = r.publish(t, says(stream, strconv.Itoa(i+1), keep))[0]
	}
	return last.Position
}

// Redis' own time decides what is too old, so the test writes old entries by hand.
func TestWhatIsTooOldIsNotRead(t *testing.T) {
	redis := heraldtest.StartRedisServer(t)
	a := start(t, redis)
	old := herald.Retention{Count: 100, Age: 30 * time.Second}
	keys := a.names.history("orders")
	epoch, now := newID(), time.Now().UnixMilli()
	redis.Do("HSET", keys[0], "e", epoch, "o", "50", "x", fmt.Sprint(now+1000))
	for i := range 50 {
		at := now - int64(60-i)*1000 // of 50 entries 20 are younger than 30 s, or 19 if a second passes
		redis.Do("XADD", keys[1], fmt.Sprintf("%d-%d", i+1, at), "b", string(appendFrame(nil, []byte("x"))))
	}
	page := a.read(t, "orders", old, herald.Range{Limit: 100})
	if page.Newest != (herald.Position{Epoch: epoch, Offset: 50}) {
		t.Errorf("got newest %+v, want 50 of %s", page.Newest, epoch)
	}
	if page.Oldest < 31 || page.Oldest > 40 || len(page.Entries) != int(51-page.Oldest) {
		t.Errorf("got oldest %d and %d entries, want about 20", page.Oldest, len(page.Entries))
	}
	a.publish(t, says("orders", "new", old))
	if n, err := strconv.Atoi(redis.Do("XLEN", keys[1])[1:]); err != nil || n > 21 {
		t.Errorf("got %d entries after another, want the old ones dropped", n)
	}
}

func TestCountIsKept(t *testing.T) {
	redis := heraldtest.StartRedisServer(t)
	a := start(t, redis)
	few := herald.Retention{Count: 50, Age: time.Hour}
	a.fill(t, "orders", 500, few)
	n, err := strconv.Atoi(redis.Do("XLEN", a.names.history("orders")[1])[1:])
	if err != nil || n < 50 || n > 66 {
		t.Errorf("got %d entries, want 50 and 16 more at most", n)
	}
}

func TestKeysExpire(t *testing.T) {
	redis := heraldtest.StartRedisServer(t)
	a := start(t, redis)
	a.subscribe(t, "quiet", kept)
	a.publish(t, says("orders", "x", herald.Retention{Count: 10, Age: 10 * time.Minute}))
	a.publish(t, herald.Publication{ID: "evt-1", Keep: kept})
	for key, want := range map[string]time.Duration{
		a.names.history("quiet")[0]:            time.Hour,
		a.names.history("orders")[0]:           24*time.Hour + 10*time.Minute*9/8,
		a.names.history("orders")[1]:           10 * time.Minute * 9 / 8,
		a.names.history(herald.EventStream)[2]: time.Hour,
	} {
		ms, err := strconv.Atoi(redis.Do("PTTL", key)[1:])
		if got := time.Duration(ms) * time.Millisecond; err != nil || got > want || got < want-time.Minute {
			t.Errorf("%s: expires in %v, want about %v", key, got, want)
		}
	}
}

func TestALostHistoryBeginsAnEpoch(t *testing.T) {
	tests := []struct {
		name string
		lose func(r *rig, redis *heraldtest.Redis)
	}{
		{"all", func(_ *rig, redis *heraldtest.Redis) { redis.Do("FLUSHALL") }},
		{"the meta hash", func(r *rig, redis *heraldtest.Redis) { redis.Do("DEL", r.names.history("orders")[0]) }},
		{"the entries", func(r *rig, redis *heraldtest.Redis) { redis.Do("DEL", r.names.history("orders")[1]) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			redis := heraldtest.StartRedisServer(t)
			a := start(t, redis)
			before := a.fill(t, "orders", 3, kept)
			tt.lose(a, redis)
			at := a.subscribe(t, "orders", kept)
			if at.Epoch == before.Epoch || at.Offset != 0 {
				t.Errorf("got %+v after %+v, want another epoch", at, before)
			}
			if got := a.publish(t, says("orders", "x", kept))[0].Position; got.Epoch != at.Epoch || got.Offset != 1 {
				t.Errorf("got %+v, want offset 1 of %s", got, at.Epoch)
			}
			if got := offsets(a.read(t, "orders", kept, herald.Range{Limit: 10})); !slices.Equal(got, []uint64{1}) {
				t.Errorf("got %v, want the new one alone", got)
			}
		})
	}
}

// Redis does nothing else while it makes a page.
func TestAPageIsBoundedInBytes(t *testing.T) {
	a := start(t, heraldtest.StartRedis(t))
	tests := []struct {
		name  string
		sizes []int // of the bodies, in KiB
		want  []int // how many each page has
	}{
		{"of 1 MiB", []int{1024, 1024, 1024, 1024, 1024}, []int{2, 2, 1}},
		{"larger than a page", []int{3000, 3000, 3000}, []int{2, 1}},
		{"of 500 KiB", []int{500, 500, 500, 500, 500, 500, 500, 500, 500}, []int{4, 4, 1}},
		{"small before large", append(make([]int, 40), 1500, 1500), []int{41, 1}},
		{"small", make([]int, 300), []int{300}},
	}
	for _, tt := range tests {
		var all []herald.Publication
		for _, size := range tt.sizes {
			all = append(all, says(tt.name, strings.Repeat("x", size<<10), kept))
		}
		a.publish(t, all...)
		var got []int
		for last, newest := uint64(0), uint64(1); last < newest; {
			page := a.read(t, tt.name, kept, herald.Range{After: last, Limit: 1000})
			newest = page.Newest.Offset
			for _, e := range page.Entries {
				if e.Offset != last+1 {
					t.Fatalf("%s: got offset %d after %d", tt.name, e.Offset, last)
				}
				last++
			}
			got = append(got, len(page.Entries))
			if len(page.Entries) == 0 {
				break
			}
		}
		isEqual(t, tt.name, got, tt.want)
	}
	page := a.read(t, "of 1 MiB", kept, herald.Range{Last: 3, Limit: 3})
	isEqual(t, "the newest", offsets(page), []uint64{3, 4})
	isEqual(t, "one", offsets(a.read(t, "of 1 MiB", kept, herald.Range{After: 1, Limit: 1})), []uint64{2})
}
