package hub_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/gobwas/ws"

	"github.com/herald-events/herald/internal/hub"
)

// TestPongComesAfterWhatWasSaidBeforeThePing: what was broadcast before a client asked reaches it before
// the answer, also while others make the loops work.
func TestPongComesAfterWhatWasSaidBeforeThePing(t *testing.T) {
	overLinks(t, 2, func(t *testing.T, r *rig) {
		c := r.join("c")
		c.subscribe("a")
		crowd := r.join("crowd")
		crowd.subscribe("noise")
		go func() { // reads, so that nobody is slow
			for {
				if _, err := readFrame(crowd.reader); err != nil {
					return
				}
			}
		}()
		ctx, cancel := context.WithCancel(t.Context())
		var noise sync.WaitGroup
		defer noise.Wait()
		defer cancel()
		noise.Go(func() {
			for r.hub.Broadcast(ctx, message("noise", "tick")) == nil {
				select {
				case <-ctx.Done():
					return
				default:
				}
			}
		})
		for i := range 300 {
			said := []hub.Message{message("a", fmt.Sprint("first ", i)), message("a", fmt.Sprint("second ", i))}
			resume := func() {}
			if i%10 == 0 {
				resume = r.pause() // and the loop finds both at once
			}
			r.broadcast(said[i%2:]...)
			c.write(ws.NewPingFrame([]byte(fmt.Sprint(i))))
			resume()
			for _, m := range said[i%2:] {
				c.want(string(m.Frame.Bytes(0)[2:]))
			}
			c.want(fmt.Sprint(i)) // the pong
		}
	})
}
