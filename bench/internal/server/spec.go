//go:build linux

package server

import (
	"path"
	"slices"
)

// Spec is a server under test.
type Spec struct {
	Key      string // on the command line
	Name     string // in tables
	Protocol string // of [load.Protocols]
	Stream   bool   // it is here for Server-Sent Events
	Redis    bool   // it is two nodes that share a Redis
	Store    string // the database in which it keeps events and jobs: [SQLite] or [PostgreSQL]; empty: it keeps none
	Presence string // the protocol of members of presence channels; empty: there is none
	Resume   string // and that of clients who come back; it may be measured so

	// Configuration is a sentence or two for the reader of the figures.
	Configuration string

	peer    string   // the directory under peers
	script  string   // for Node: what it runs there
	args    []string // beside the interval of keep-alive
	publish string   // the path of the publish call
	key     string   // and its bearer token
	ready   string   // the path that answers 200 when the server is; empty: once it listens it is
}

func (s Spec) dir() string { return path.Join("peers", s.peer) }

// The databases.
const (
	SQLite     = "sqlite"
	PostgreSQL = "postgres"
)

const (
	heraldPublish = "/api/v1/broadcast"
	heraldKey     = "a-key-for-benchmarks" // as in peers/herald and peers/stored
	heraldReady   = "/readyz"
	peerPublish   = "/publish"
)

// Specs are the servers, in the order of the tables.
var Specs = []Spec{
	{
		Key: "herald", Name: "Herald", Protocol: "herald", peer: "herald", publish: heraldPublish, key: heraldKey, ready: heraldReady,
		Resume:        "herald-resume",
		Configuration: "as a library on `net/http`, with the zero configuration but for an API key and a secret of channel tokens; published to with `POST /api/v1/broadcast`",
	},
	{
		Key: "centrifuge", Name: "Centrifuge", Protocol: "centrifuge", peer: "centrifuge", publish: peerPublish,
		Configuration: "the `centrifuge` library v0.40.1, memory broker, JSON protocol, no history and no presence, a client queue of 4 MiB; " +
			"whatever waits for a client, up to 16 messages, already goes into one frame",
	},
	{
		Key: "centrifuge-batching", Name: "Centrifuge, batching", Protocol: "centrifuge", peer: "centrifuge", publish: peerPublish,
		args: []string{"-batching"},
		Configuration: "the same with `WriteDelay` 10 ms, `WriteWithTimer`, `MaxMessagesInFrame` -1, `ReplyWithoutQueue` and pooled write buffers; " +
			"the delay is part of its latency",
	},
	{
		Key: "coder", Name: "coder/websocket", Protocol: "plain", peer: "coder", publish: peerPublish,
		Configuration: "v1.8.15 with the hub of its chat example: a writing goroutine and a queue for each connection; " +
			"the queue holds 4 MiB instead of 16 messages, since a flood would close everybody otherwise",
	},
	{
		Key: "gws", Name: "gws", Protocol: "plain", peer: "gws", publish: peerPublish,
		Configuration: "`lxzan/gws` v1.8.9 with its `Broadcaster`, which encodes once and writes from an asynchronous queue for each connection, without a bound",
	},
	{
		Key: "ws", Name: "ws (Node)", Protocol: "plain", peer: "node", script: "ws.js", publish: peerPublish,
		Configuration: "`ws` 8.23.0, one process, a set of sockets for each channel, a message encoded once and sent in a loop",
	},
	{
		Key: "socket.io", Name: "Socket.IO (Node)", Protocol: "socket.io", peer: "node", script: "socketio.js", publish: peerPublish,
		Configuration: "`socket.io` 4.8.4, one process, rooms of the in-memory adapter, WebSocket transport only, `ws` as its engine",
	},
	{
		Key: "herald-sse", Name: "Herald, SSE", Protocol: "herald-sse", peer: "herald", publish: heraldPublish, key: heraldKey, ready: heraldReady, Stream: true,
		Configuration: "the same Herald; `GET /events?channel=…` over HTTP/1.1",
	},
	{
		Key: "centrifuge-sse", Name: "Centrifuge, SSE", Protocol: "centrifuge-sse", peer: "centrifuge", publish: peerPublish, Stream: true,
		Configuration: "the same Centrifuge, plain; its SSE transport over HTTP/1.1, subscribed by the server as it connects",
	},
	{
		Key: "herald-redis", Name: "Herald, Redis", Protocol: "herald", peer: "herald", publish: heraldPublish, key: heraldKey, ready: heraldReady,
		Redis: true, Presence: "herald-presence", Resume: "herald-resume",
		Configuration: "two of the same Herald with `redisbroker`, its zero configuration, and a client queue of 64 MiB; with history, `HistoryRule` of 1,000 messages and a minute for all channels",
	},
	{
		Key: "centrifuge-redis", Name: "Centrifuge, Redis", Protocol: "centrifuge", peer: "centrifuge", publish: peerPublish, Redis: true,
		Configuration: "two of the same Centrifuge, plain, with its `RedisBroker`, its zero configuration, and a client queue of 64 MiB; with history, `WithHistory` of 1,000 messages and a minute, " +
			"subscriptions neither positioned nor recoverable",
	},
	{
		Key: "herald-sqlite", Name: "Herald, SQLite", peer: "stored", key: heraldKey, ready: heraldReady,
		Store:         SQLite,
		Configuration: "Herald as a library with `sqlstore` on a new file in the directory of temporary files, its zero configuration but for an API key and `AllowPrivate` of webhooks",
	},
	{
		Key: "herald-postgres", Name: "Herald, Postgres", peer: "stored", key: heraldKey, ready: heraldReady,
		Store:         PostgreSQL,
		Configuration: "the same with a new Postgres on the same machine, as `initdb` sets it up, over TCP",
	},
}

// Find returns the server with the given key.
func Find(key string) (Spec, bool) {
	i := slices.IndexFunc(Specs, func(s Spec) bool { return s.Key == key })
	if i < 0 {
		return Spec{}, false
	}
	return Specs[i], true
}
