package sqlstore

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/herald-events/herald"
)

// serverVariable has the test binary be a server that publishes until it is killed: the store's URL.
const serverVariable = "HERALD_TEST_SERVER"

// publishers is how many publish at the same time.
const publishers = 8

// publishPace is the least time between two events of one publisher, so that what there is to deliver in the end can be
// delivered in seconds.
const publishPace = 8 * time.Millisecond

// What the process says, a line each. The last three come with an event's id.
const (
	sayOpening  = "opening"
	sayServing  = "serving"
	sayAccepted = "accepted"
	sayTold     = "told"
	sayRan      = "ran"
)

// TestServerProcess is that server; a run of the tests passes it by. It publishes until its standard input says
// something, and serves until that ends.
func TestServerProcess(t *testing.T) {
	storeURL := os.Getenv(serverVariable)
	if storeURL == "" {
		t.Skip("it is a part of TestACrashLosesNothing")
	}
	var mu sync.Mutex
	say := func(what ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Println(what...)
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	say(sayOpening)
	store, err := Open(t.Context(), storeURL, Config{Logger: logger, times: quick})
	if err != nil {
		t.Fatal(err)
	}
	srv, err := herald.New(crashConfig(tellingStore{store, say}, logger))
	if err != nil {
		t.Fatal(err)
	}
	err = herald.OnDurable(srv, "crash.*", "note", func(_ context.Context, e herald.Event) error {
		say(sayRan, e.ID)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	<-srv.Started()
	say(sayServing)
	publishing, enough := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for range publishers {
		wg.Go(func() { publishUntil(publishing, srv, say) })
	}
	in := bufio.NewReader(os.Stdin)
	_, err = in.ReadString('\n')
	enough()
	wg.Wait()
	if err == nil {
		_, _ = in.ReadString('\n') // which it does not say: its input ends
	}
	end()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	if err := store.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// crashConfig is that of the server; it tries what an endpoint refuses again at once.
func crashConfig(store herald.Store, logger *slog.Logger) herald.Config {
	retry := make([]time.Duration, 10)
	for i := range retry {
		retry[i] = 50 * time.Millisecond
	}
	return herald.Config{
		Store: store, Logger: logger,
		Webhooks: herald.WebhookConfig{AllowPrivate: true, Retry: retry},
		APIKeys:  []herald.APIKey{{Name: "test", Key: crashKey, Scopes: []herald.Scope{herald.ScopeAll}}},
	}
}

const crashKey = "a-key-of-the-crash-test"

// publishUntil publishes events and says those that are accepted. One that is not, as far as it knows, it publishes again,
// as a client does that got no answer.
func publishUntil(ctx context.Context, srv *herald.Server, say func(...any)) {
	pace := time.NewTicker(publishPace)
	defer pace.Stop()
	for id := ""; ; {
		if id == "" {
			id = "evt-" + rand.Text()
		}
		err := srv.Publish(context.WithoutCancel(ctx), herald.Event{ID: id, Type: "crash.noted", Payload: map[string]string{"of": id}})
		if err == nil {
			say(sayAccepted, id)
			id = ""
		}
		select {
		case <-pace.C:
		case <-ctx.Done():
			return
		}
	}
}

// tellingStore says what it has told the broker.
type tellingStore struct {
	*Store
	say func(...any)
}

// Run implements herald.Store.
func (s tellingStore) Run(ctx context.Context, node herald.StoreNode) error {
	return s.Store.Run(ctx, tellingNode{node, s.say})
}

type tellingNode struct {
	herald.StoreNode
	say func(...any)
}

// Deliver implements herald.StoreNode.
func (n tellingNode) Deliver(ctx context.Context, events []herald.Event) error {
	if err := n.StoreNode.Deliver(ctx, events); err != nil {
		return err
	}
	for _, e := range events {
		n.say(sayTold, e.ID)
	}
	return nil
}

// process is the server's process as the test knows it.
type process struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	ended chan struct{} // closed when it has ended, and all that it has said was heard
	err   error         // how it has ended; known then
}

// startProcess starts the server, and has heard called with each line that it says in whole.
func startProcess(t *testing.T, storeURL string, heard func(p *process, what, id string)) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestServerProcess$")
	cmd.Env = append(os.Environ(), serverVariable+"="+storeURL)
	cmd.Stderr = t.Output()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: cmd, stdin: stdin, ended: make(chan struct{})}
	t.Cleanup(func() { // where the test has failed
		p.kill()
		<-p.ended
	})
	go func() {
		defer close(p.ended)
		lines := bufio.NewReader(out)
		for {
			line, err := lines.ReadString('\n')
			if err != nil { // what was cut off in the middle was not said
				p.err = cmd.Wait()
				return
			}
			what, id, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
			heard(p, what, id)
		}
	}()
	return p
}

// kill kills the process.
func (p *process) kill() { _ = p.cmd.Process.Kill() } // which has ended already, or does now

// publishNoMore ends its publishers.
func (p *process) publishNoMore(t *testing.T) {
	t.Helper()
	if _, err := io.WriteString(p.stdin, "enough\n"); err != nil {
		t.Errorf("end the publishers: %v", err)
	}
}

// end has the process end in order.
func (p *process) end(t *testing.T) {
	t.Helper()
	_ = p.stdin.Close() // how it has ended it says itself
	<-p.ended
	if p.err != nil {
		t.Errorf("the process has ended with %v", p.err)
	}
}
