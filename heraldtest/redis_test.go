package heraldtest_test

import (
	"os"
	"strings"
	"testing"

	"github.com/herald-events/herald/heraldtest"
)

func TestRedisIsStoppedAndStarted(t *testing.T) {
	redis := heraldtest.StartRedisServer(t)
	if got := redis.Do("SET", "key", "value"); got != "+OK" {
		t.Fatalf("SET: got %q, want +OK", got)
	}
	for name, end := range map[string]func(){"Stop": redis.Stop, "Kill": redis.Kill} {
		end()
		redis.Start()
		if got := redis.Do("GET", "key"); got != "$-1" {
			t.Errorf("after %s: got %q, want nothing kept", name, got)
		}
	}
}

func TestAPausedRedisGoesOn(t *testing.T) {
	redis := heraldtest.StartRedisServer(t)
	redis.Pause()
	redis.Resume()
	if got := redis.Do("PING"); got != "+PONG" {
		t.Errorf("got %q, want +PONG", got)
	}
}

func TestRedisKeepsWhatItIsToldTo(t *testing.T) {
	redis := heraldtest.StartRedisServer(t, "--appendonly", "yes", "--appendfsync", "always")
	redis.Do("SET", "key", "value")
	redis.Kill()
	redis.Start()
	if got := redis.Do("GET", "key"); got != "value" {
		t.Errorf("got %q, want value", got)
	}
}

func TestStartRedisHasAPrefixForEachTest(t *testing.T) {
	if os.Getenv(heraldtest.RedisVariable) == "" {
		t.Setenv(heraldtest.RedisVariable, heraldtest.StartRedisServer(t).URL)
	}
	a, b := heraldtest.StartRedis(t), heraldtest.StartRedis(t)
	if a.URL != b.URL || a.Prefix == b.Prefix {
		t.Errorf("got %+v and %+v, want one Redis and two prefixes", a, b)
	}
}

func TestRedisClusterServesAllSlots(t *testing.T) {
	cluster := heraldtest.StartRedisCluster(t)
	for _, m := range cluster.Masters {
		if got := m.Do("CLUSTER", "INFO"); !strings.Contains(got, "cluster_slots_assigned:16384") {
			t.Errorf("got %q, want all slots", got)
		}
	}
}
