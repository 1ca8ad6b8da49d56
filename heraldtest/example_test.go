package heraldtest_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"slices"
	"testing"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
)

// exampleT stands for a test's *testing.T.
type exampleT struct {
	testing.TB
	cleanups []func()
}

func (t *exampleT) Helper()                           {}
func (t *exampleT) Context() context.Context          { return context.Background() }
func (t *exampleT) Output() io.Writer                 { return io.Discard }
func (t *exampleT) Cleanup(f func())                  { t.cleanups = append(t.cleanups, f) }
func (t *exampleT) Errorf(format string, args ...any) { log.Printf(format, args...) }
func (t *exampleT) Fatalf(format string, args ...any) { log.Fatalf(format, args...) }

func (t *exampleT) end() {
	for _, f := range slices.Backward(t.cleanups) {
		f()
	}
}

func ExampleStart() {
	t := &exampleT{} // the *testing.T of a test
	defer t.end()

	srv := heraldtest.Start(t, herald.Config{})
	socket, stream := srv.Dial(t), srv.Stream(t)
	socket.Subscribe("orders")
	stream.Subscribe("orders")
	if err := srv.Broadcast(t.Context(), "orders", "created", map[string]int{"id": 1}); err != nil {
		t.Fatalf("broadcast: %v", err)
	}
	fmt.Println(socket.Next().Raw)
	fmt.Println(stream.Next().Data)
	// Output:
	// {"type":"event","channel":"orders","event":"created","data":{"id":1}}
	// {"type":"event","channel":"orders","event":"created","data":{"id":1}}
}

func ExampleServer_Stream() {
	t := &exampleT{} // the *testing.T of a test
	defer t.end()

	srv := heraldtest.Start(t, herald.Config{})
	events := srv.Stream(t, heraldtest.WithPath("/api/v1/events/stream?events=user.*"), heraldtest.WithToken(srv.Token("ann")))
	if err := srv.Publish(t.Context(), herald.Event{ID: "evt-1", Payload: herald.UserRegistered{UserID: "ann"}}); err != nil {
		t.Fatalf("publish: %v", err)
	}
	e := events.Next()
	fmt.Println(e.Event, e.ID)
	// Output: user.registered evt-1
}
