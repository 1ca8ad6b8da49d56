package heraldtest

import (
	"crypto/rand"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// RedisCluster is a Redis Cluster of three masters for a test.
type RedisCluster struct {
	// Redis has the URL, which names all masters, and a prefix. It is no server itself.
	*Redis
	Masters []*Redis
}

// StartRedisCluster starts three masters on loopback that end with the test, and have all slots.
func StartRedisCluster(t testing.TB) *RedisCluster {
	t.Helper()
	c := &RedisCluster{}
	for range 3 {
		c.Masters = append(c.Masters, StartRedisServer(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "2000"))
	}
	c.Redis = &Redis{
		URL:    c.Masters[0].URL + "?addr=" + c.Masters[1].addr + "&addr=" + c.Masters[2].addr,
		Prefix: "test-" + strings.ToLower(rand.Text()), t: t,
	}
	const slots = 16384
	for i, m := range c.Masters {
		m.Do("CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(i*slots/3), strconv.Itoa((i+1)*slots/3-1))
		m.Do("CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1))
		host, port, err := net.SplitHostPort(c.Masters[0].addr)
		if err != nil {
			t.Fatalf("heraldtest: %v", err)
		}
		if i > 0 {
			m.Do("CLUSTER", "MEET", host, port)
		}
	}
	c.awaitOK(t)
	return c
}

// awaitOK waits until each master knows of all, and that all slots are served.
func (c *RedisCluster) awaitOK(t testing.TB) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for {
		ok := 0
		for _, m := range c.Masters {
			info := m.Do("CLUSTER", "INFO")
			if strings.Contains(info, "cluster_state:ok") && strings.Contains(info, fmt.Sprintf("cluster_size:%d", len(c.Masters))) {
				ok++
			}
		}
		if ok == len(c.Masters) {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("heraldtest: the Redis Cluster did not come up")
		}
	}
}
