// Command centrifuge is the centrifuge library over its memory broker or, with -redis, its Redis broker, for
// the benchmarks: no history unless -history asks for it, no presence, the JSON protocol, and a client's
// queue as long as Herald's. With -batching a client's messages are collected for 10 ms and written as one frame by a timer rather than by a goroutine for each
// client, and write buffers are pooled: what the library offers for many subscribers.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/centrifugal/centrifuge"

	"github.com/herald-events/herald/bench/internal/publish"
	"github.com/herald-events/herald/bench/peers/internal/peer"
)

// writeDelay is short beside what a person notices and long beside what a write costs.
const writeDelay = 10 * time.Millisecond

func main() { peer.Main(build) }

func build(opts peer.Options) (peer.Server, error) {
	node, err := centrifuge.New(centrifuge.Config{ClientQueueMaxSize: opts.Queue()})
	if err != nil {
		return peer.Server{}, err
	}
	node.OnConnecting(func(_ context.Context, e centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return connecting(opts, e), nil
	})
	node.OnConnect(func(client *centrifuge.Client) {
		client.OnSubscribe(func(_ centrifuge.SubscribeEvent, done centrifuge.SubscribeCallback) {
			done(centrifuge.SubscribeReply{}, nil)
		})
	})
	if opts.Redis != "" {
		if err := connect(node, opts.Redis); err != nil {
			return peer.Server{}, err
		}
	}
	if err := node.Run(); err != nil {
		return peer.Server{}, err
	}
	// A pong is due before the next ping.
	keepAlive := centrifuge.PingPongConfig{PingInterval: opts.Ping, PongTimeout: opts.Ping * 2 / 5}
	mux := http.NewServeMux()
	mux.Handle("/connection/websocket", centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{
		PingPongConfig: keepAlive, UseWriteBufferPool: opts.Batching,
	}))
	mux.Handle("/connection/sse", centrifuge.NewSSEHandler(node, centrifuge.SSEConfig{PingPongConfig: keepAlive}))
	mux.HandleFunc("POST /publish", func(w http.ResponseWriter, r *http.Request) { answerPublish(node, w, r) })
	return peer.Server{Handler: mux, Publish: publisher(node, opts)}, nil
}

// connect gives the node the Redis broker, as the library's own example of it does.
func connect(node *centrifuge.Node, url string) error {
	shard, err := centrifuge.NewRedisShard(node, centrifuge.RedisShardConfig{Address: url})
	if err != nil {
		return err
	}
	broker, err := centrifuge.NewRedisBroker(node, centrifuge.RedisBrokerConfig{Shards: []*centrifuge.RedisShard{shard}})
	if err != nil {
		return err
	}
	node.SetBroker(broker)
	return nil
}

// publisher publishes within this process.
func publisher(node *centrifuge.Node, opts peer.Options) func(context.Context, string, []byte) error {
	var how []centrifuge.PublishOption
	if opts.History > 0 {
		how = append(how, centrifuge.WithHistory(opts.History, peer.HistoryAge))
	}
	return func(_ context.Context, channel string, data []byte) error {
		_, err := node.Publish(channel, fmt.Appendf(nil, `{"event":%q,"data":%s}`, publish.Event, data), how...)
		return err
	}
}

// connecting lets everybody in. A stream names its channels as it connects, since it can say nothing later.
func connecting(opts peer.Options, e centrifuge.ConnectEvent) centrifuge.ConnectReply {
	reply := centrifuge.ConnectReply{Credentials: &centrifuge.Credentials{}}
	if len(e.Channels) > 0 {
		reply.Subscriptions = map[string]centrifuge.SubscribeOptions{}
	}
	for _, channel := range e.Channels {
		reply.Subscriptions[channel] = centrifuge.SubscribeOptions{}
	}
	if opts.Batching {
		reply.WriteDelay, reply.WriteWithTimer, reply.MaxMessagesInFrame = writeDelay, true, -1
		reply.ReplyWithoutQueue = true
	}
	return reply
}

// answerPublish tells the subscribers the event and its data; the channel is in the protocol's own envelope.
func answerPublish(node *centrifuge.Node, w http.ResponseWriter, r *http.Request) {
	m, ok := peer.ReadMessage(w, r)
	if !ok {
		return
	}
	data, err := json.Marshal(struct {
		Event string          `json:"event"`
		Data  json.RawMessage `json:"data"`
	}{m.Event, m.Data})
	if err == nil {
		_, err = node.Publish(m.Channel, data)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	peer.OK(w)
}
