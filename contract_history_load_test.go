package herald_test

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

// keepingLong has the channel "orders" keep so many messages for longer than any test takes.
func keepingLong(count int) herald.Config {
	c := keeping(count, "orders")
	c.History[0].Keep.Age = time.Hour
	return c
}

// wanderer is a client that is cut off again and again, and resumes. Its record is what it has of the channel
// "orders", by offset.
type wanderer struct {
	t      *testing.T
	srv    *heraldtest.Server
	rand   *rand.Rand
	record map[uint64]string
	at     herald.Position // up to which it has everything
	id     string          // of a stream
	until  uint64          // the last offset there will be
	begun  func()          // called when it is there for the first time, or more often
	short  int             // its lives are of up to 2 to the power of this messages
	gaps   int
	cuts   int
}

// wander lives until it has the last message.
func (w *wanderer) wander(life func(w *wanderer, patience int) error) error {
	for w.at.Offset < w.until {
		if err := life(w, 1<<w.rand.IntN(w.short+1)); err != nil {
			return fmt.Errorf("at %d, after %d cuts: %w", w.at.Offset, w.cuts, err)
		}
		w.cuts++
	}
	return nil
}

// take records a message, which must be the very next, or a gap: where little is kept, a history may move on while a
// client is being fed.
func (w *wanderer) take(m keptMessage) error {
	if string(m.Event) == `"gap"` {
		w.gaps++
		return json.Unmarshal(m.Data, &w.at)
	}
	if m.Offset == nil || m.Epoch != w.at.Epoch || *m.Offset != w.at.Offset+1 {
		return fmt.Errorf("got %s, want the offset %d of %s", m.Raw, w.at.Offset+1, w.at.Epoch)
	}
	w.at.Offset++
	w.record[w.at.Offset] = string(m.Data)
	return nil
}

// answered reads the answer to a subscribe: a gap is explicit, or there is none.
func (w *wanderer) answered(m keptMessage) error {
	switch {
	case m.Type != "subscription_succeeded" || m.Offset == nil:
		return fmt.Errorf("got %s, want the answer", m.Raw)
	case w.at.Epoch == "": // it has never been here
		w.begun()
		w.at = herald.Position{Epoch: m.Epoch, Offset: *m.Offset}
	case m.Recovered == nil:
		return fmt.Errorf("got %s, want recovered", m.Raw)
	case !*m.Recovered:
		w.gaps++
		w.at = herald.Position{Epoch: m.Epoch, Offset: *m.Offset}
	}
	return nil
}

// onSocket lives for so many messages.
func onSocket(w *wanderer, messages int) error {
	c, err := w.srv.TryDial(w.t)
	if err != nil {
		return err
	}
	defer c.Conn().Close() // without a word
	request := map[string]any{"type": "subscribe", "channel": "orders"}
	if w.at.Epoch != "" {
		request["since"] = w.at
	}
	if err := c.TrySend(request); err != nil {
		return err
	}
	for seen := -2; seen < messages && (seen < 0 || w.at.Offset < w.until); seen++ {
		m, err := c.TryNext()
		if err != nil {
			return err
		}
		var kept keptMessage
		if err := json.Unmarshal([]byte(m.Raw), &kept); err != nil {
			return err
		}
		kept.Raw = m.Raw
		switch seen {
		case -2: // the greeting
		case -1:
			err = w.answered(kept)
		default:
			err = w.take(kept)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// onStream lives for so many blocks. What comes behind the last id that it was told comes again.
func onStream(w *wanderer, blocks int) error {
	opts := []heraldtest.DialOption{heraldtest.WithPath("/events?channels=orders")}
	if w.id != "" {
		opts = append(opts, heraldtest.WithHeader("Last-Event-ID", w.id))
	}
	st, err := w.srv.TryStream(w.t, opts...)
	if err != nil {
		return err
	}
	defer st.Close()
	told, known := w.at, w.id != ""
	if !known {
		w.at = herald.Position{}
	}
	defer func() { w.at = told }()
	for seen := -3; seen < blocks && (seen < 0 || w.at.Offset < w.until || w.id != positionOf(w.at)); seen++ {
		e, err := st.NextBlock()
		if err != nil {
			return err
		}
		if e.ID != w.id {
			w.id = e.ID
		}
		var kept keptMessage
		if e.Event != "message" {
			if err := json.Unmarshal([]byte(e.Data), &kept); err != nil {
				return fmt.Errorf("%s: %w", e.Raw, err)
			}
		}
		kept.Raw = e.Raw
		switch {
		case e.Event == "gap", string(kept.Event) == `"connected"`:
		case e.Event == "subscription_succeeded":
			err = w.answered(kept)
		case e.Event == "event":
			err = w.take(kept)
		case e.ID == positionOf(w.at):
			told = w.at
		case seen >= 0 && !strings.HasPrefix(e.Raw, "retry"):
			// Behind its answer a stream is told where it stood before what it missed.
			if e.ID != positionOf(told) {
				err = fmt.Errorf("got the id %q, want %q", e.ID, positionOf(w.at))
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func positionOf(at herald.Position) string { return position("orders", at.Epoch, at.Offset) }

// TestResumeIsCompleteOrSaysThatItIsNot has four publishers at full speed, and 200 clients that are cut off and
// resume at random: each has everything, in order and once, or has been told of the gap.
func TestResumeIsCompleteOrSaysThatItIsNot(t *testing.T) {
	for name, kept := range map[string]int{"all is kept": 100_000, "little is kept": 20} {
		t.Run(name, func(t *testing.T) {
			const publishers, each, clients = 4, 100, 200
			const last = publishers * each
			srv := startQuiet(t, keepingLong(kept))
			epochOf(t, srv, "orders")
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			wanderers := make([]*wanderer, clients)
			failed := make(chan error, clients)
			var all, there sync.WaitGroup
			for i := range wanderers {
				w := &wanderer{t: t, srv: srv, rand: rand.New(rand.NewPCG(seed, uint64(i))), record: map[uint64]string{}, until: last}
				wanderers[i] = w
				life := onSocket
				w.short = 7
				if i%2 > 0 {
					life, w.short = onStream, 9 // it is told where it stands once a write
				}
				there.Add(1)
				w.begun = sync.OnceFunc(there.Done)
				all.Go(func() {
					defer w.begun() // or nobody would say anything
					if err := w.wander(life); err != nil {
						failed <- fmt.Errorf("client %d: %w", i, err)
					}
				})
			}
			for p := range publishers {
				all.Go(func() {
					there.Wait()
					for i := range each {
						if err := srv.Broadcast(t.Context(), "orders", "n", fmt.Sprintf("%d %03d", p, i)); err != nil {
							failed <- err
							return
						}
					}
				})
			}
			all.Wait()
			close(failed)
			for err := range failed {
				t.Error(err)
			}
			checkRecords(t, wanderers, kept >= last)
		})
	}
}

// checkRecords compares what everybody has of the same offsets, and the order of each publisher.
func checkRecords(t *testing.T, wanderers []*wanderer, whole bool) {
	t.Helper()
	said := map[uint64]string{}
	cuts, gaps := 0, 0
	for i, w := range wanderers {
		cuts, gaps = cuts+w.cuts, gaps+w.gaps
		for offset, data := range w.record {
			if before, ok := said[offset]; ok && before != data {
				t.Fatalf("client %d has %s at %d, another %s", i, data, offset, before)
			}
		}
		maps.Copy(said, w.record)
	}
	if whole && gaps > 0 {
		t.Errorf("got %d gaps, though everything is kept", gaps)
	}
	t.Logf("%d cuts, %d gaps", cuts, gaps)
	newest := map[string]string{}
	for offset := uint64(1); offset <= wanderers[0].until; offset++ {
		publisher, number, _ := strings.Cut(said[offset], " ")
		if said[offset] != "" && number <= newest[publisher] {
			t.Fatalf("%s at %d comes after %s", said[offset], offset, newest[publisher])
		}
		newest[publisher] = number
	}
}

// One that reads slowly gets a gap of many times what may wait for it, while others are told at once what is said
// meanwhile, on every loop.
func TestHistoryFeedsTheSlow(t *testing.T) {
	const messages, live, size = 2500, 200, 4 << 10
	for _, over := range []string{"socket", "stream"} {
		t.Run(over, func(t *testing.T) {
			config := keepingLong(messages + live + 1)
			config.Limits.MaxQueue = 128 << 10
			srv := startQuiet(t, config)
			epoch := epochOf(t, srv, "orders")
			say := func(first, n int) error {
				for i := range n {
					if err := srv.Broadcast(t.Context(), "orders", "n", large(first+i, size)); err != nil {
						return err
					}
				}
				return nil
			}
			if err := say(1, messages); err != nil {
				t.Fatal(err)
			}
			next := slowly(t, srv, over, since(epoch, 0)) // has read its answer, and nothing since
			others := make([]*heraldtest.Client, 8)
			for i := range others {
				others[i] = srv.Dial(t)
				askSince(t, others[i], "orders", nil).isAt(t, epoch, messages)
			}
			for i := range live { // each is there before the next is said
				if err := say(messages+i+1, 1); err != nil {
					t.Fatal(err)
				}
				for _, c := range others {
					parseKept(t, c.Next().Raw).isAt(t, epoch, uint64(messages+i+1))
				}
			}
			for i := range messages + live {
				m := next()
				m.isAt(t, epoch, uint64(i+1))
				if want := fmt.Sprintf(`"%08d`, i+1); !strings.HasPrefix(string(m.Data), want) {
					t.Fatalf("got %.40s, want %s", m.Data, want)
				}
			}
			if err := say(messages+live+1, 1); err != nil {
				t.Fatal(err)
			}
			m := next()
			m.isAt(t, epoch, messages+live+1)
		})
	}
}

// slowly resumes over a connection whose buffers are small, and returns what reads it.
func slowly(t *testing.T, srv *heraldtest.Server, over string, from *herald.Position) func() keptMessage {
	t.Helper()
	if over == "stream" {
		st := streamFrom(t, srv, "orders", position("orders", from.Epoch, from.Offset))
		expectJoined(t, st, "orders", "yes")
		return func() keptMessage { return parseKept(t, st.NextMessage().Raw) }
	}
	c := srv.Dial(t)
	conn := c.Conn()
	if over, ok := conn.(*tls.Conn); ok {
		conn = over.NetConn()
	}
	if err := conn.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	askSince(t, c, "orders", from).recovered(t, "yes")
	return func() keptMessage { return parseKept(t, c.Next().Raw) }
}

// Several channels are caught up over one connection, beside what is said meanwhile: each is whole, and the id of
// a stream names what it has.
func TestHistoryOfSeveralChannelsAtOnce(t *testing.T) {
	const messages, size = 300, 4 << 10
	for _, over := range []string{"socket", "stream"} {
		t.Run(over, func(t *testing.T) {
			channels := []string{"a", "b", "c", "d"}
			config := keeping(messages+1, channels...)
			config.Limits.MaxQueue = 128 << 10
			srv := startQuiet(t, config)
			epochs := map[string]string{}
			var id []string
			for _, channel := range channels {
				epochs[channel] = epochOf(t, srv, channel)
				id = append(id, position(channel, epochs[channel], 0))
				for i := range messages {
					broadcast(t, srv, channel, "n", large(i+1, size))
				}
			}
			var next func() string
			if over == "stream" {
				next = textOf(streamFrom(t, srv, strings.Join(channels, ","), idWith(id...)))
			} else {
				c := srv.Dial(t)
				for _, channel := range channels {
					c.Send(map[string]any{"type": "subscribe", "channel": channel, "since": since(epochs[channel], 0)})
				}
				next = rawOf(c)
			}
			got := map[string]uint64{}
			joined := 0
			for want := len(channels) * (messages + 2); want > 0; want-- {
				m := parseKept(t, next())
				if m.Type == "subscription_succeeded" {
					m.recovered(t, "yes")
					if joined++; joined == len(channels) { // while they are caught up
						for _, channel := range channels {
							broadcast(t, srv, channel, "n", large(messages+1, size))
						}
					}
					continue
				}
				got[m.Channel]++
				m.isAt(t, epochs[m.Channel], got[m.Channel])
			}
		})
	}
}
