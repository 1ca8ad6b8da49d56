package herald_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

// The default limit is one of a message, not of what the client may have sent before it is closed.
func TestWebSocketTooBigIsToldToWhoGoesOnSending(t *testing.T) {
	srv := heraldtest.Start(t, herald.Config{})
	for _, size := range []int{1<<20 + 1, 16 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			c := srv.Dial(t)
			c.Send(`"` + strings.Repeat("x", size-2) + `"`) // the whole of it, before it reads
			c.ExpectClose(1009)
		})
	}
	t.Run("exactly the limit", func(t *testing.T) {
		c := srv.Dial(t)
		c.Send(`"` + strings.Repeat("x", 1<<20-2) + `"`)
		c.ExpectCode("bad_message")
	})
}
