// Package publish is the publishers' side of the benchmarks: a few connections that each call a server's
// HTTP publish call again and again, over HTTP/1.1 with keep-alive and with as little work as that takes.
package publish

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/herald-events/herald/bench/internal/load"
)

// Publishers is how many publish at once.
const Publishers = 4

// Event is the name of every message.
const Event = "tick"

// Target is a server's publish call.
type Target struct {
	Port int
	Path string
	Key  string // a bearer token; empty: none
}

// Plan is what is published: the messages go over the channels in turn.
type Plan struct {
	Channels int
	Size     int           // bytes of a message's data, a JSON text
	Rate     float64       // messages a second; 0: as fast as the call answers
	Duration time.Duration // from the first message on
	Most     int           // messages in all, which may end it earlier; 0: no bound
}

// Result is what came of it.
type Result struct {
	Messages int   // that the server has accepted
	Channel  []int // of these, by channel
	Refused  int   // calls that were not answered with 200
	Begun    time.Time
	Ended    time.Time // the last answer
}

// patience is how long a server may take for its last answers.
const patience = 30 * time.Second

// Run publishes and waits for the last answer.
func Run(ctx context.Context, to Target, plan Plan) (Result, error) {
	r := &run{target: to, plan: plan, begun: time.Now(), accepted: make([]atomic.Int64, plan.Channels)}
	var (
		wg   sync.WaitGroup
		errs = make([]error, Publishers)
	)
	ctx, cancel := context.WithDeadline(ctx, r.begun.Add(plan.Duration+patience))
	defer cancel()
	for i := range Publishers {
		wg.Go(func() {
			if errs[i] = r.publish(ctx, i); errs[i] != nil {
				cancel()
			}
		})
	}
	wg.Wait()
	result := Result{Channel: make([]int, plan.Channels), Refused: int(r.refused.Load()), Begun: r.begun, Ended: time.Now()}
	for i := range r.accepted {
		result.Channel[i] = int(r.accepted[i].Load())
		result.Messages += result.Channel[i]
	}
	for _, err := range errs {
		if err != nil {
			return result, fmt.Errorf("publish: %w", err)
		}
	}
	return result, nil
}

// run is shared by the publishers.
type run struct {
	// Immutable after Run has begun.
	target Target
	plan   Plan
	begun  time.Time

	next     atomic.Int64 // message, where there is no pace
	accepted []atomic.Int64
	refused  atomic.Int64
}

func (r *run) publish(ctx context.Context, publisher int) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(r.target.Port)))
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	var (
		answers = bufio.NewReader(conn)
		request = newRequest(r.target, r.plan.Size)
	)
	for turn := 0; ; turn++ {
		n, stamp, more := r.wait(ctx, turn*Publishers+publisher)
		if !more {
			return ctx.Err()
		}
		channel := n % r.plan.Channels
		if _, err := conn.Write(request.with(channel, stamp)); err != nil {
			return err
		}
		status, err := readAnswer(answers)
		if err != nil {
			return err
		}
		if status == 200 {
			r.accepted[channel].Add(1)
		} else {
			r.refused.Add(1)
		}
	}
}

// wait waits until the next message is due and returns its number and its stamp. A message that is late
// since the call before it took long has the time at which it was due, so that the server's delay counts.
func (r *run) wait(ctx context.Context, turn int) (n int, stamp time.Time, more bool) {
	now := time.Now()
	if r.plan.Rate == 0 {
		n = int(r.next.Add(1) - 1)
		return n, now, ctx.Err() == nil && now.Sub(r.begun) < r.plan.Duration && (r.plan.Most == 0 || n < r.plan.Most)
	}
	after := time.Duration(float64(turn) / r.plan.Rate * float64(time.Second))
	if after >= r.plan.Duration || r.plan.Most > 0 && turn >= r.plan.Most {
		return 0, now, false
	}
	due := r.begun.Add(after)
	if !now.Before(due) {
		return turn, due, ctx.Err() == nil
	}
	select {
	case <-time.After(due.Sub(now)):
		return turn, time.Now(), true
	case <-ctx.Done():
		return 0, now, false
	}
}

// request is the bytes of a call, of which channel and stamp change from one to the next.
type request struct {
	bytes          []byte
	channel, stamp int // where they are
}

func newRequest(to Target, size int) *request {
	zero := strings.Repeat("0", load.StampDigits)
	data := string(load.Marker) + zero
	data += strings.Repeat("x", max(size-len(data)-len(`""`), 0))
	body := fmt.Sprintf(`{"channel":%q,"event":%q,"data":%q}`, load.Channel(0), Event, data)
	head := "POST " + to.Path + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
	if to.Key != "" {
		head += "Authorization: Bearer " + to.Key + "\r\n"
	}
	all := []byte(fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", head, len(body), body))
	return &request{
		bytes:   all,
		channel: bytes.Index(all, []byte(load.Channel(0))),
		stamp:   bytes.LastIndexByte(all, load.Marker) + 1,
	}
}

func (r *request) with(channel int, stamp time.Time) []byte {
	copy(r.bytes[r.channel:], load.Channel(channel))
	copy(r.bytes[r.stamp:], strconv.FormatInt(stamp.UnixNano(), 10))
	return r.bytes
}

// readAnswer reads a response to its end and returns its status.
func readAnswer(r *bufio.Reader) (status int, err error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if len(line) < len("HTTP/1.1 200") {
		return 0, fmt.Errorf("the server answers %q", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, fmt.Errorf("the server answers %q", line)
	}
	length := -1
	for {
		if line, err = r.ReadSlice('\n'); err != nil {
			return 0, err
		}
		name, value, isField := bytes.Cut(bytes.TrimSpace(line), []byte(":"))
		if !isField {
			break
		}
		if bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return 0, err
			}
		}
	}
	if length < 0 {
		return 0, fmt.Errorf("an answer with status %d has no length", status)
	}
	_, err = r.Discard(length)
	return status, err
}
