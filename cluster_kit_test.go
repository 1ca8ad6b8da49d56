package herald_test

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/herald-events/herald"
	"github.com/herald-events/herald/heraldtest"
	"github.com/herald-events/herald/redisbroker"
)

// startNodes starts nodes of one application that share a Redis.
func startNodes(t *testing.T, n int, config herald.Config) []*heraldtest.Server {
	t.Helper()
	return startNodesOver(t, heraldtest.StartRedis(t), n, config)
}

func startNodesOver(t *testing.T, redis *heraldtest.Redis, n int, config herald.Config) []*heraldtest.Server {
	t.Helper()
	nodes := make([]*heraldtest.Server, n)
	for i := range nodes {
		nodes[i] = startNodeWith(t, redis, config, func(b herald.Broker) herald.Broker { return b })
	}
	return nodes
}

// startNodeWith starts a node whose broker has something wrong with it.
func startNodeWith(t *testing.T, redis *heraldtest.Redis, config herald.Config, spoil func(herald.Broker) herald.Broker) *heraldtest.Server {
	t.Helper()
	own := quiet(t, config)
	broker, err := redisbroker.New(redisbroker.Config{URL: redis.URL, Prefix: redis.Prefix, Logger: own.Logger})
	if err != nil {
		t.Fatal(err)
	}
	own.Broker = spoil(broker)
	node := heraldtest.Start(t, own)
	wsEventually(t, "the node is ready", func() bool {
		return httpCall(t, node.HTTP(), http.MethodGet, node.URL+"/readyz", "").Status == http.StatusOK
	})
	return node
}

// nodesTest is a promise that nodes keep together over a Redis of their own.
type nodesTest struct {
	name string
	run  func(*testing.T, *heraldtest.Redis)
}

// overRedis runs them over one Redis each.
func overRedis(t *testing.T, tests []nodesTest) {
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, heraldtest.StartRedis(t)) })
	}
}

// overRedisCluster runs them over one Redis Cluster, which takes seconds to start.
func overRedisCluster(t *testing.T, tests []nodesTest) {
	cluster := heraldtest.StartRedisCluster(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			own := *cluster.Redis
			own.Prefix = "test-" + strings.ToLower(rand.Text())
			tt.run(t, &own)
		})
	}
}

// TestNodes is what nodes do together that share a Redis.
func TestNodes(t *testing.T) {
	t.Parallel()
	for _, tests := range [][]nodesTest{nodesStreamTests, nodesPresenceTests, nodesAPITests} {
		overRedis(t, tests)
	}
}

// TestNodesOverARedisCluster is the same where the Redis is a cluster of three masters.
func TestNodesOverARedisCluster(t *testing.T) {
	t.Parallel()
	overRedisCluster(t, append(append(append([]nodesTest{}, nodesStreamTests...), nodesPresenceTests...), nodesAPITests...))
}

// apiSays calls the server API of every node, which must all answer this.
func apiSays(t *testing.T, nodes []*heraldtest.Server, path, want string) {
	t.Helper()
	for i, node := range nodes {
		answer := apiCall(t, node, http.MethodGet, path, "")
		if answer.Status != http.StatusOK || !heraldtest.SameJSON(answer.Body, want) {
			t.Errorf("node %d: GET %s: got %d %s, want %s", i, path, answer.Status, answer.Body, want)
		}
	}
}

// apiComesToSay waits until every node answers this.
func apiComesToSay(t *testing.T, nodes []*heraldtest.Server, path, want string) {
	t.Helper()
	for _, node := range nodes {
		wsEventually(t, "GET "+path+" says "+want, func() bool {
			answer := apiCall(t, node, http.MethodGet, path, "")
			return answer.Status == http.StatusOK && heraldtest.SameJSON(answer.Body, want)
		})
	}
}

// apiPost broadcasts, publishes or disconnects through a node's port.
func apiPost(t *testing.T, node *heraldtest.Server, path string, body any, want int) httpAnswer {
	t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	answer := apiCall(t, node, http.MethodPost, path, string(raw))
	if answer.Status != want {
		t.Fatalf("POST %s: got %d %s, want %d", path, answer.Status, answer.Body, want)
	}
	return answer
}

// object is a JSON object.
type object = map[string]any
