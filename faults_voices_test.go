package herald_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

// voice is a publisher: at its pace it says something on a kept channel, on a plain one, and publishes a domain
// event, each whatever becomes of the others. It writes down what was accepted.
type voice struct {
	// Immutable.
	name   string
	node   int
	url    string
	client *http.Client
	stop   context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex // guards the fields below
	kept    map[herald.Position]string
	plain   []int
	sure    int // from this number on what is plain reaches everybody; 0: not known yet
	begun   int // the number of the last plain message
	events  []string
	refused int   // what is kept
	err     error // an answer that may not be
}

// faultPace is between two messages of a voice of one kind.
const faultPace = 50 * time.Millisecond

// speak begins, and goes on until stop is called.
func (v *voice) speak() {
	ctx, cancel := context.WithCancel(context.Background())
	v.stop = cancel
	v.kept = map[herald.Position]string{}
	for _, say := range []func(int){v.sayKept, v.sayPlain, v.sayEvent} {
		v.wg.Go(func() {
			tick := time.NewTicker(faultPace)
			defer tick.Stop()
			for n := 1; ; n++ {
				select {
				case <-tick.C:
					say(n)
				case <-ctx.Done():
					return
				}
			}
		})
	}
}

func (v *voice) end() {
	if v.stop == nil {
		return
	}
	v.stop()
	v.wg.Wait()
}

func (v *voice) change(f func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	f()
}

func (v *voice) sayKept(n int) {
	at, ok := v.say(faultKept, "said", n)
	if !ok {
		return
	}
	v.change(func() { v.kept[at] = fmt.Sprint(v.name, " ", n) })
}

// say broadcasts, and returns the position where the message is kept; false: it was refused.
func (v *voice) say(channel, event string, n int) (herald.Position, bool) {
	body := fmt.Sprintf(`{"channel":%q,"event":%q,"data":{"by":%q,"n":%d}}`, channel, event, v.name, n)
	status, text := faultPost(v.client, v.url+"/api/v1/broadcast", body)
	var answer struct{ Positions map[string]herald.Position }
	switch {
	case status == http.StatusOK && json.Unmarshal([]byte(text), &answer) == nil:
		return answer.Positions[channel], true
	case status == http.StatusServiceUnavailable && strings.Contains(text, "UNAVAILABLE") && channel == faultKept:
		v.change(func() { v.refused++ })
	default:
		v.change(func() { v.err = fmt.Errorf("%s: broadcast on %s: %d %s", v.name, channel, status, text) })
	}
	return herald.Position{}, false
}

func (v *voice) sayPlain(n int) {
	v.change(func() { v.begun = n })
	if _, ok := v.say(faultPlain, "said", n); ok {
		v.change(func() { v.plain = append(v.plain, n) })
	}
}

func (v *voice) sayEvent(n int) {
	v.publish(fmt.Sprintf("evt-%s-%d", v.name, n))
}

func (v *voice) publish(id string) {
	status, text := faultPost(v.client, v.url+"/api/v1/events", fmt.Sprintf(`{"type":"test.said","id":%q,"payload":{}}`, id))
	switch {
	case status == http.StatusAccepted:
		v.change(func() { v.events = append(v.events, id) })
	case status != http.StatusServiceUnavailable:
		v.change(func() { v.err = fmt.Errorf("%s: publish: %d %s", v.name, status, text) })
	default:
		v.change(func() { v.refused++ })
	}
}

// faultPost posts with the API key; the text of an answer that never came is the error, its status 0.
func faultPost(client *http.Client, url, body string) (status int, text string) {
	return faultCall(client, http.MethodPost, url, body)
}

func faultCall(client *http.Client, method, url, body string) (status int, text string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return 0, err.Error()
	}
	r.Header.Set("Authorization", "Bearer "+heraldtest.APIKey)
	res, err := client.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err.Error()
	}
	return res.StatusCode, string(answer)
}
