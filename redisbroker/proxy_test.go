package redisbroker

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/herald-events/herald/heraldtest"
)

// proxy stands before a Redis. Once it is silent nothing that is published comes through the connections that were
// open then, though each command on them is answered: that is what a demoted master looks like.
type proxy struct {
	listener net.Listener
	redis    string
	all      sync.WaitGroup

	mu    sync.Mutex // guards the field below
	conns []*proxied
}

// proxied is a connection through it.
type proxied struct {
	client, redis net.Conn
	isSilent      atomic.Bool
}

func startProxy(t *testing.T, redis *heraldtest.Redis) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, redis: redis.Addr()}
	p.all.Go(p.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		p.each(func(c *proxied) { c.close() })
		p.all.Wait()
	})
	return p
}

func (p *proxy) url() string { return "redis://" + p.listener.Addr().String() }

func (p *proxy) each(f func(*proxied)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		f(c)
	}
}

func (p *proxy) silence() { p.each(func(c *proxied) { c.isSilent.Store(true) }) }

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // the test is over
		}
		redis, err := net.Dial("tcp", p.redis)
		if err != nil {
			_ = client.Close()
			continue
		}
		c := &proxied{client: client, redis: redis}
		p.mu.Lock()
		p.conns = append(p.conns, c)
		p.mu.Unlock()
		p.all.Go(func() {
			defer c.close()
			_, _ = io.Copy(redis, client)
		})
		p.all.Go(func() {
			defer c.close()
			c.answer()
		})
	}
}

func (c *proxied) close() {
	_ = c.client.Close()
	_ = c.redis.Close()
}

// answer passes on what Redis says, but for what it says unasked where the connection is silent.
func (c *proxied) answer() {
	r := bufio.NewReader(c.redis)
	for {
		value, err := readValue(r)
		if err != nil {
			return
		}
		if c.isSilent.Load() && bytes.HasPrefix(value, []byte(">3\r\n$7\r\nmessage\r\n")) {
			continue
		}
		if _, err := c.client.Write(value); err != nil {
			return
		}
	}
}

// readValue reads one value of RESP3 as it stands.
func readValue(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadBytes('\n')
	if err != nil || len(line) < 3 {
		return nil, fmt.Errorf("a line %q: %w", line, err)
	}
	n, _ := strconv.Atoi(strings.TrimSpace(string(line[1:]))) // else it is no length
	switch line[0] {
	case '$', '=', '!':
		if n < 0 {
			return line, nil
		}
		text := make([]byte, n+2)
		_, err = io.ReadFull(r, text)
		return append(line, text...), err
	case '%', '|':
		n *= 2
	case '*', '~', '>':
	default:
		n = 0
	}
	for range n {
		value, err := readValue(r)
		if err != nil {
			return nil, err
		}
		line = append(line, value...)
	}
	return line, nil
}
