//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/herald-events/herald/bench/internal/load"
	"github.com/herald-events/herald/bench/internal/report"
	"github.com/herald-events/herald/bench/internal/server"
)

// nodes are two nodes that share a Redis, or one server that is both of them, with who listens to them.
type nodes struct {
	launch    load.Launch
	redis     *server.Redis  // nil: there is but one server
	near, far *server.Server // which is published to, and the other

	mu     sync.Mutex // guards the field below
	fleets []*load.Fleet
}

// beginNodes starts the servers, and a Redis where the spec wants one.
func (r *rig) beginNodes(ctx context.Context, spec server.Spec, history int) (*nodes, error) {
	n := &nodes{launch: r.launch}
	setup := server.Setup{Ping: noPing, History: history}
	var err error
	if spec.Redis {
		if n.redis, err = server.StartRedis(ctx); err != nil {
			return nil, err
		}
		setup.Redis = n.redis.URL
	}
	if n.near, err = r.builder.Start(ctx, spec, setup); err != nil {
		return nil, errors.Join(err, n.end())
	}
	n.far = n.near
	if spec.Redis {
		if n.far, err = r.builder.Start(ctx, spec, setup); err != nil {
			return nil, errors.Join(err, n.end())
		}
	}
	return n, nil
}

// open opens connections to a node. The task has a protocol of its own, or the server's usual one.
func (n *nodes) open(ctx context.Context, on *server.Server, task load.Task) (*load.Fleet, load.Answer, error) {
	usual := on.Task()
	task.Port = on.Port
	if task.Protocol == "" {
		task.Protocol = usual.Protocol
	}
	fleet, opened, err := load.Open(ctx, n.launch, task)
	n.mu.Lock()
	n.fleets = append(n.fleets, fleet)
	n.mu.Unlock()
	if err == nil && opened.Open != task.Connections {
		err = fmt.Errorf("%d of %d connections are open", opened.Open, task.Connections)
	}
	return fleet, opened, err
}

// end stops the servers first, as a session does, and Redis last, whose end none of them sees.
func (n *nodes) end() error {
	var errs []error
	if n.near != nil {
		errs = append(errs, n.near.Stop())
	}
	if n.far != nil && n.far != n.near {
		errs = append(errs, n.far.Stop())
	}
	for _, fleet := range n.fleets {
		errs = append(errs, fleet.Close())
	}
	if n.redis != nil {
		errs = append(errs, n.redis.Stop())
	}
	return errors.Join(errs...)
}

// usage is the CPU time of all.
type usage struct{ near, far, redis time.Duration }

func (n *nodes) usage() (u usage, err error) {
	var errs [3]error
	u.near, errs[0] = n.near.CPU()
	u.far, errs[1] = n.far.CPU()
	if n.redis != nil {
		u.redis, errs[2] = n.redis.CPU()
	}
	return u, errors.Join(errs[:]...)
}

// charge notes what each of so many messages has cost since before.
func (n *nodes) charge(f *report.Figures, before usage, messages int) error {
	after, err := n.usage()
	if err != nil || messages == 0 {
		return err
	}
	f.CPU = micros(after.near-before.near) / float64(messages)
	f.FarCPU = micros(after.far-before.far) / float64(messages)
	f.RedisCPU = micros(after.redis-before.redis) / float64(messages)
	return nil
}
