// Package peer is what the Go servers of the benchmarks share, so that they differ in nothing but the
// library under test: flags, the listener, the body of the publish call, and giving memory back.
package peer

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/herald-events/herald/bench/internal/publish"
)

// MaxQueue is how many bytes may wait for one connection, on every server that bounds them.
const MaxQueue = 4 << 20

// Queue is how many bytes may wait for one connection of a server with these options: more where nodes share a
// Redis, since one subscriber then gets all that two cores can say, and reads on the same two.
func (o Options) Queue() int {
	if o.Redis != "" {
		return 16 * MaxQueue
	}
	return MaxQueue
}

// HistoryAge is for how long messages are kept, on every server that keeps some.
const HistoryAge = time.Minute

// Message is the body of a publish call, and what a subscriber is told.
type Message struct {
	Type    string          `json:"type,omitempty"`
	Channel string          `json:"channel"`
	Event   string          `json:"event"`
	Data    json.RawMessage `json:"data"`
}

// ReadMessage reads the body of a publish call, and answers a bad one.
func ReadMessage(w http.ResponseWriter, r *http.Request) (Message, bool) {
	var m Message
	if err := json.NewDecoder(r.Body).Decode(&m); err != nil || m.Channel == "" {
		http.Error(w, `{"ok":false}`, http.StatusBadRequest)
		return m, false
	}
	return m, true
}

// Encode is the message as subscribers get it, of those servers that have no form of their own.
func (m Message) Encode() ([]byte, error) {
	m.Type = "event"
	return json.Marshal(m)
}

// OK answers a publish call.
func OK(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(`{"ok":true}`)) // who has left need not know
}

// A Server is a library under test.
type Server struct {
	Handler http.Handler
	Run     func(ctx context.Context) error // until ctx ends; may be nil
	// Publish publishes the JSON text data on a channel, and waits for what its library's call waits for. May
	// be nil where no workload asks for it.
	Publish func(ctx context.Context, channel string, data []byte) error
	// Chores are what else it can be told to do by itself, by their paths.
	Chores map[string]Chore
}

// Options are what the flags of a peer say.
type Options struct {
	Ping     time.Duration // interval of keep-alive
	Batching bool          // for libraries that write in batches where they are told to
	Redis    string        // the URL of the Redis that nodes share; empty: the server is alone
	History  int           // so many messages of a channel are kept, for [HistoryAge]; 0: none
	Store    string        // the URL of the database of a server that keeps events and jobs
}

// Main is the main function of a peer: it serves what build makes until its standard input ends, as it
// does with the runner, however that ends.
func Main(build func(Options) (Server, error)) {
	if err := run(build, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(build func(Options) (Server, error), args []string) error {
	flags := flag.NewFlagSet("peer", flag.ContinueOnError)
	var opts Options
	flags.DurationVar(&opts.Ping, "ping", 30*time.Second, "interval of keep-alive")
	flags.BoolVar(&opts.Batching, "batching", false, "write in batches")
	flags.StringVar(&opts.Redis, "redis", "", "the URL of a Redis that nodes share")
	flags.IntVar(&opts.History, "history", 0, "messages of a channel to keep")
	flags.StringVar(&opts.Store, "store", "", "the URL of a database")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	server, err := build(opts)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/", server.Handler)
	mux.HandleFunc("POST /free", free)
	if server.Publish != nil {
		mux.HandleFunc("POST "+publish.InProcess, server.publish)
	}
	for path, do := range server.Chores {
		mux.HandleFunc("POST "+path, do.serve)
	}
	srv := &http.Server{Handler: mux}
	ended := make(chan error, 2)
	if server.Run != nil {
		go func() { ended <- server.Run(ctx) }()
	}
	go func() { ended <- srv.Serve(listener) }()
	fmt.Println(listener.Addr().(*net.TCPAddr).Port) // the runner waits for it
	select {
	case <-ctx.Done():
		return nil // the process ends, and its connections with it
	case err := <-ended:
		return errors.Join(errors.New("the server has ended"), err)
	}
}

// free gives memory back before it is measured. The first collection leaves what the pools hold.
func free(w http.ResponseWriter, _ *http.Request) {
	runtime.GC()
	runtime.GC()
	debug.FreeOSMemory()
	OK(w)
}
