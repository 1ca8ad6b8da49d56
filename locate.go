package herald

import (
	"context"
	"sync"
)

// maxLocates is how many ids are asked for at a time: when all clients of a node that has begun anew come back,
// the broker has other things to do as well.
const maxLocates = 4

// locates are the domain events that are looked for by their ids with the broker. One that many come back with is
// looked for once.
type locates struct {
	mu      sync.Mutex // guards the fields below
	waiting map[string][]chan<- located
	next    []string // the ids that are still to be asked for
	asking  int      // how many are being asked for
}

// located is where one was found; the zero position: nowhere.
type located struct {
	at  Position
	err error
}

// locate finds a domain event that is kept by its id.
func (ss *streams) locate(ctx context.Context, id string) (Position, error) {
	found := make(chan located, 1)
	ss.wantLocated(id, found)
	select {
	case l := <-found:
		return l.at, l.err
	case <-ctx.Done():
		return Position{}, ctx.Err()
	}
}

func (ss *streams) wantLocated(id string, found chan<- located) {
	ls := &ss.located
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.waiting == nil {
		ls.waiting = map[string][]chan<- located{}
	}
	if len(ls.waiting[id]) == 0 {
		ls.next = append(ls.next, id)
	}
	ls.waiting[id] = append(ls.waiting[id], found)
	if ls.asking < maxLocates {
		ls.asking++
		ss.beside(ss.locateAll)
	}
}

// locateAll asks for one id after the other until none is left.
func (ss *streams) locateAll(ctx context.Context) {
	for {
		id, more := ss.located.take()
		if !more {
			return
		}
		asking, cancel := context.WithTimeout(ctx, openTime)
		at, found, err := ss.broker().Locate(asking, ss.server.config.EventHistory, id)
		cancel()
		if !found {
			at = Position{}
		}
		ss.located.tell(id, located{at, err})
	}
}

func (ls *locates) take() (id string, more bool) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if len(ls.next) == 0 {
		ls.asking--
		return "", false
	}
	id = ls.next[0]
	ls.next = ls.next[1:]
	return id, true
}

// tell tells all who wait for an id. Each has room for it.
func (ls *locates) tell(id string, l located) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for _, found := range ls.waiting[id] {
		found <- l
	}
	delete(ls.waiting, id)
}
