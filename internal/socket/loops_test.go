package socket_test

import (
	"context"
	"errors"
	"io"
	"os"
	"runtime"
	"testing"

	"github.com/herald-events/herald/internal/clock"
	"github.com/herald-events/herald/internal/socket"
)

func TestPostKeepsOrder(t *testing.T) {
	r := newRig(t, owned, socket.Config{Loops: 1})
	l := r.loops.All()[0]
	const tasks = 10_000
	got := make(chan int, tasks)
	for i := range tasks {
		l.Post(func() { got <- i })
	}
	for want := range tasks {
		if i := receive(t, got, "a task"); i != want {
			t.Fatalf("task %d ran as number %d", i, want)
		}
	}
}

func TestConnectionsAreSpreadOverTheLoops(t *testing.T) {
	r := newRig(t, owned, socket.Config{Loops: 3})
	on := map[*socket.Loop]int{}
	for range 9 {
		o, _ := r.webSocket(socket.Options{})
		on[o.conn.Loop()]++
	}
	for _, l := range r.loops.All() {
		if on[l] != 3 {
			t.Errorf("a loop has %d connections, want 3", on[l])
		}
	}
}

func TestAttachWhileNotRunning(t *testing.T) {
	never := socket.New(socket.Config{
		Clock:    clock.System(),
		NewShard: func(*socket.Loop) socket.Shard { return noShard{} },
	})
	ended := newRig(t, owned, socket.Config{})
	server, _ := ended.connect()
	ended.stop()
	for _, loops := range []*socket.Loops{never, ended.loops} {
		err := loops.AttachWebSocket(server, socket.Options{}, func(*socket.Conn) socket.Owner {
			t.Error("an owner was made")
			return nil
		})
		if !errors.Is(err, socket.ErrNotRunning) {
			t.Errorf("got %v, want %v", err, socket.ErrNotRunning)
		}
		await(t, loops.Empty(), "emptiness")
	}
}

func TestBesideEndsWithTheLoops(t *testing.T) {
	r := newRig(t, owned, socket.Config{})
	begun, ended := make(chan struct{}), make(chan struct{})
	r.loops.Beside(func(ctx context.Context) {
		close(begun)
		<-ctx.Done()
		close(ended)
	})
	await(t, begun, "the function beside the loops")
	r.stop()
	select {
	case <-ended: // stop has waited for it
	default:
		t.Error("Run returned before what runs beside the loops")
	}
	if r.loops.Beside(func(context.Context) { t.Error("ran after the end") }) {
		t.Error("something was started after the end")
	}
	if r.loops.All()[0].Post(func() { t.Error("ran after the end") }) {
		t.Error("a task was taken after the end")
	}
}

func TestEmpty(t *testing.T) {
	overLinks(t, func(t *testing.T, over link) {
		r := newRig(t, over, socket.Config{})
		await(t, r.loops.Empty(), "emptiness without a connection")
		first, p := r.webSocket(socket.Options{})
		second, q := r.webSocket(socket.Options{})
		empty := r.loops.Empty()
		first.do(func(c *socket.Conn) { c.Close(socket.GoingAway) })
		p.wantClose(socket.GoingAway.Code)
		_ = p.conn.Close()
		first.wantClosed(socket.GoingAway)
		select {
		case <-empty:
			t.Fatal("empty while there is a connection")
		default:
		}
		second.do(func(c *socket.Conn) {
			c.SendText([]byte("last words"))
			c.Close(socket.GoingAway)
		})
		q.wantText("last words")
		q.wantClose(socket.GoingAway.Code)
		_ = q.conn.Close()
		await(t, empty, "emptiness")
	})
}

// TestEmptyCountsFromAttach: a connection that has just come keeps a drain waiting.
func TestEmptyCountsFromAttach(t *testing.T) {
	overLinks(t, func(t *testing.T, over link) {
		r := newRig(t, over, socket.Config{})
		for range 100 {
			server, client := r.connect()
			o := newOwner(t)
			if err := r.loops.AttachWebSocket(server, socket.Options{}, o.take); err != nil {
				t.Fatal(err)
			}
			empty := r.loops.Empty()
			select {
			case <-empty:
				t.Fatal("empty while there is a connection")
			default:
			}
			_ = client.Close()
			await(t, empty, "emptiness")
		}
	})
}

// TestWhatIsSaidAtTheEndIsHeard by who reads: a loop that ends says what it was told to, and goodbye.
func TestWhatIsSaidAtTheEndIsHeard(t *testing.T) {
	overLinks(t, func(t *testing.T, over link) {
		r := newRig(t, over, socket.Config{Loops: 1})
		o, p := r.webSocket(socket.Options{})
		stream, _, res := r.attachStream(socket.Options{})
		l := r.loops.All()[0]
		l.Post(func() {
			for r.loops.Running() { // until the end has begun
				runtime.Gosched()
			}
			o.conn.SendText([]byte("last words"))
			stream.conn.SendBlock([]byte("data: last words\n\n"))
		})
		r.stop()
		p.wantText("last words")
		p.wantClose(socket.GoingAway.Code)
		if got, err := io.ReadAll(res.Body); err != nil || string(got) != "data: last words\n\n" {
			t.Errorf("got %q, %v, want the last words and the last chunk", got, err)
		}
	})
}

// TestRunLeavesNothingBehind cuts connections in every state.
func TestRunLeavesNothingBehind(t *testing.T) {
	overLinks(t, func(t *testing.T, over link) {
		goroutines, descriptors := runtime.NumGoroutine(), openDescriptors(t)
		r := newRig(t, over, socket.Config{MaxQueue: 64 << 20})
		idle, p1 := r.webSocket(socket.Options{})
		stuck, p2 := r.slowSocket(socket.Options{})
		fill64 := func(c *socket.Conn) {
			for range 32 {
				c.SendText(make([]byte, 1<<20))
			}
		}
		stuck.do(fill64)
		closing, p3 := r.slowSocket(socket.Options{})
		closing.do(func(c *socket.Conn) {
			fill64(c)
			c.Close(socket.GoingAway)
		})
		lingering, p4 := r.webSocket(socket.Options{})
		lingering.do(func(c *socket.Conn) { c.Close(socket.GoingAway) })
		p4.wantClose(socket.GoingAway.Code) // and it does not close its own side
		held, p5 := r.webSocket(socket.Options{})
		held.do(func(c *socket.Conn) { held.onMessage = func([]byte) { c.Hold(); held.messages <- "" } })
		p5.write(text("x"))
		held.wantMessage("")
		stream, p6, _ := r.attachStream(socket.Options{})

		r.stop()
		for _, o := range []*owner{idle, stuck, closing, lingering, held, stream} {
			o.wantClosed(socket.GoingAway)
		}
		for _, p := range []*peer{p1, p2, p3, p4, p5, p6} {
			_ = p.conn.Close()
		}
		if got := r.loops.Queued(); got != 0 {
			t.Errorf("%d bytes are queued for nobody", got)
		}
		if got := openDescriptors(t); got > descriptors {
			t.Errorf("%d descriptors are open, want no more than the %d before", got, descriptors)
		}
		for runtime.NumGoroutine() > goroutines { // those that have said that they are done are still to go
			runtime.Gosched()
		}
	})
}

// openDescriptors counts what this process has open, where the system tells.
func openDescriptors(t *testing.T) int {
	t.Helper()
	if runtime.GOOS != "linux" {
		return 0
	}
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}
