package redisbroker

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

var (
	errClosed = errors.New("the connection was closed")
	errMoved  = errors.New("the cluster has moved a channel to another node")
	errSlots  = errors.New("the cluster has slots that no node serves")
)

// link is a connection on which messages come.
type link struct {
	// Immutable.
	conn    rueidis.DedicatedClient
	release func()
	lost    <-chan error
	probe   string        // the channel by which its life is proved
	moved   chan struct{} // holds one when Redis has ended a subscription by itself

	isProbed bool // a probe is on its way; owned by follow
}

// links is one connection or, of a cluster, one to each master. If one is lost all are made anew: it is rare,
// and the node then has to look at all of its streams anyway.
type links struct {
	all    []*link
	bySlot []*link // nil: there is only one
	call   time.Duration
}

func (b *Broker) connectLinks(ctx context.Context) (*links, error) {
	ls := &links{call: b.config.times.call}
	if !b.isCluster() {
		return ls, ls.add(b, b.client(), ":probe")
	}
	masters, err := b.masters(ctx)
	if err != nil {
		return nil, err
	}
	ls.bySlot = make([]*link, slots)
	for _, m := range masters {
		if err := ls.add(b, m.client, tagIn(m.slots)); err != nil {
			ls.close()
			return nil, err
		}
		for _, slot := range m.slots {
			ls.bySlot[slot] = ls.all[len(ls.all)-1]
		}
	}
	for _, l := range ls.bySlot {
		if l == nil {
			ls.close()
			return nil, errSlots
		}
	}
	return ls, nil
}

func (ls *links) add(b *Broker, client rueidis.Client, probeTag string) error {
	l := &link{probe: b.names.probe(b.self, probeTag), moved: make(chan struct{}, 1)}
	l.conn, l.release = client.Dedicate()
	l.lost = l.conn.SetPubSubHooks(rueidis.PubSubHooks{
		OnMessage: func(m rueidis.PubSubMessage) { b.receive(m.Channel, m.Message) },
		OnSubscription: func(s rueidis.PubSubSubscription) {
			// This loop asks for the end only of what it has forgotten.
			if s.Kind == "sunsubscribe" && b.subs.has(b.names, s.Channel) {
				signal(l.moved)
			}
		},
	})
	ls.all = append(ls.all, l)
	return nil
}

// wait returns why the link is over, or the error of ctx.
func (l *link) wait(ctx context.Context) error {
	select {
	case err := <-l.lost:
		if err == nil {
			err = errClosed
		}
		return err
	case <-l.moved:
		return errMoved
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (ls *links) close() {
	for _, l := range ls.all {
		l.conn.Close()
		l.release()
	}
}

// answered notes a probe that has come back.
func (ls *links) answered(channel string) {
	for _, l := range ls.all {
		if l.probe == channel {
			l.isProbed = false
		}
	}
}

// subscribe returns when Redis has confirmed all.
func (ls *links) subscribe(ctx context.Context, channels []string) error {
	ctx, cancel := context.WithTimeout(ctx, ls.call)
	defer cancel()
	if ls.bySlot == nil {
		conn := ls.all[0].conn
		return conn.Do(ctx, conn.B().Subscribe().Channel(channels...).Build()).Error()
	}
	return ls.each(ctx, channels, func(b rueidis.Builder, channel string) rueidis.Completed {
		return b.Ssubscribe().Channel(channel).Build()
	})
}

func (ls *links) unsubscribe(ctx context.Context, channels []string) error {
	ctx, cancel := context.WithTimeout(ctx, ls.call)
	defer cancel()
	if ls.bySlot == nil {
		conn := ls.all[0].conn
		return conn.Do(ctx, conn.B().Unsubscribe().Channel(channels...).Build()).Error()
	}
	return ls.each(ctx, channels, func(b rueidis.Builder, channel string) rueidis.Completed {
		return b.Sunsubscribe().Channel(channel).Build()
	})
}

// each sends a command for each channel, since a command of a cluster is for one slot, in one pipeline for
// each link.
func (ls *links) each(ctx context.Context, channels []string, command func(rueidis.Builder, string) rueidis.Completed) error {
	commands := map[*link][]rueidis.Completed{}
	for _, channel := range channels {
		l := ls.bySlot[slotOf(channel)]
		commands[l] = append(commands[l], command(l.conn.B(), channel))
	}
	for l, all := range commands {
		for _, result := range l.conn.DoMulti(ctx, all...) {
			if err := result.Error(); err != nil {
				return err
			}
		}
	}
	return nil
}

// master is a master of a cluster.
type master struct {
	client rueidis.Client
	slots  []uint16
}

// masters asks each node that the client knows which slots it serves.
func (b *Broker) masters(ctx context.Context) ([]master, error) {
	ctx, cancel := context.WithTimeout(ctx, b.config.times.call)
	defer cancel()
	var all []master
	var errs []error
	for _, node := range b.client().Nodes() {
		text, err := node.Do(ctx, node.B().ClusterNodes().Build()).ToString()
		if err != nil {
			errs = append(errs, err) // a replica may be away
			continue
		}
		if served := servedSlots(text); len(served) > 0 {
			all = append(all, master{node, served})
		}
	}
	served := 0
	for _, m := range all {
		served += len(m.slots)
	}
	if served < slots {
		return nil, errors.Join(append(errs, errSlots)...)
	}
	return all, nil
}

// pingMasters asks every master whether it is there.
func (b *Broker) pingMasters(ctx context.Context) error {
	_, err := b.masters(ctx)
	return err
}

// servedSlots reads from CLUSTER NODES which slots the node serves that was asked.
func servedSlots(nodes string) []uint16 {
	for line := range strings.Lines(nodes) {
		fields := strings.Fields(line)
		if len(fields) < 8 || !strings.Contains(fields[2], "myself") || !strings.Contains(fields[2], "master") {
			continue
		}
		var served []uint16
		for _, text := range fields[8:] {
			served = append(served, parseSlots(text)...)
		}
		return served
	}
	return nil
}

// parseSlots reads "5" or "5-9"; what is in brackets is a slot that moves, and stands among the others too.
func parseSlots(text string) []uint16 {
	from, to, isRange := strings.Cut(text, "-")
	if !isRange {
		to = from
	}
	first, err1 := strconv.ParseUint(from, 10, 16)
	last, err2 := strconv.ParseUint(to, 10, 16)
	if err1 != nil || err2 != nil || first > last || last >= slots {
		return nil
	}
	served := make([]uint16, 0, last-first+1)
	for slot := first; slot <= last; slot++ {
		served = append(served, uint16(slot))
	}
	return served
}
