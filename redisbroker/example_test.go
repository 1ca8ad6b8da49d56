package redisbroker_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"runtime"
	"slices"
	"testing"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
	"github.com/herald-events/herald/redisbroker"
)

// exampleT stands for a test's *testing.T.
type exampleT struct {
	testing.TB
	cleanups []func()
}

func (t *exampleT) Helper()                           {}
func (t *exampleT) Context() context.Context          { return context.Background() }
func (t *exampleT) Output() io.Writer                 { return io.Discard }
func (t *exampleT) TempDir() string                   { return "." } // the Redis keeps nothing on disk
func (t *exampleT) Cleanup(f func())                  { t.cleanups = append(t.cleanups, f) }
func (t *exampleT) Errorf(format string, args ...any) { log.Printf(format, args...) }
func (t *exampleT) Fatalf(format string, args ...any) { log.Fatalf(format, args...) }

func (t *exampleT) end() {
	for _, f := range slices.Backward(t.cleanups) {
		f()
	}
}

var quiet = slog.New(slog.DiscardHandler)

// Two nodes share a Redis: what is said on one reaches the connections of both.
func ExampleNew() {
	t := &exampleT{} // the *testing.T of a test
	defer t.end()
	redis := heraldtest.StartRedis(t) // the application's own

	var nodes []*heraldtest.Server
	for range 2 {
		broker, err := redisbroker.New(redisbroker.Config{URL: redis.URL, Prefix: redis.Prefix, Logger: quiet})
		if err != nil {
			log.Fatal(err)
		}
		nodes = append(nodes, heraldtest.Start(t, herald.Config{Broker: broker}))
		for broker.Check() != nil {
			runtime.Gosched() // a load balancer asks /readyz
		}
	}
	client := nodes[1].Dial(t)
	client.Subscribe("orders")
	if err := nodes[0].Broadcast(t.Context(), "orders", "created", 17); err != nil {
		log.Fatal(err)
	}
	fmt.Println(client.Next().Raw)
	// Output: {"type":"event","channel":"orders","event":"created","data":17}
}

// A background job tells the nodes' clients. With the default prefix Connect needs the URL alone.
func ExampleConnectWith() {
	t := &exampleT{}
	defer t.end()
	redis := heraldtest.StartRedis(t)
	client, ctx := clientOfANode(t, redis), t.Context()

	job, err := redisbroker.ConnectWith(ctx, redisbroker.Config{URL: redis.URL, Prefix: redis.Prefix, Logger: quiet})
	if err != nil {
		log.Fatal(err)
	}
	if err := job.Broadcast(ctx, "orders", "created", 17); err != nil {
		log.Fatal(err)
	}
	if err := job.Close(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println(client.Next().Raw)
	// Output: {"type":"event","channel":"orders","event":"created","data":17}
}

// A publisher can ask before it does what only matters if somebody looks.
func ExamplePublisher_HasSubscribers() {
	t := &exampleT{}
	defer t.end()
	redis := heraldtest.StartRedis(t)
	_, ctx := clientOfANode(t, redis), t.Context()

	job, err := redisbroker.ConnectWith(ctx, redisbroker.Config{URL: redis.URL, Prefix: redis.Prefix, Logger: quiet})
	if err != nil {
		log.Fatal(err)
	}
	for _, channel := range []string{"orders", "invoices"} {
		watched, err := job.HasSubscribers(ctx, channel)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(channel, watched)
	}
	if err := job.Close(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// orders true
	// invoices false
}

// clientOfANode is subscribed to orders.
func clientOfANode(t testing.TB, redis *heraldtest.Redis) *heraldtest.Client {
	broker, err := redisbroker.New(redisbroker.Config{URL: redis.URL, Prefix: redis.Prefix, Logger: quiet})
	if err != nil {
		log.Fatal(err)
	}
	node := heraldtest.Start(t, herald.Config{Broker: broker})
	for broker.Check() != nil {
		runtime.Gosched()
	}
	client := node.Dial(t)
	client.Subscribe("orders")
	return client
}
