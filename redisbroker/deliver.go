package redisbroker

import (
	"github.com/herald-events/herald"
)

// receive is called by rueidis' reader, which nothing may hold up: what is for the node's streams waits in
// the inbox, everything else is handed on.
func (b *Broker) receive(channel, payload string) {
	if payload == "" {
		return
	}
	switch payload[0] {
	case kindPlain, kindKept, kindMembers:
		b.inbox.put(message{channel, payload})
	case kindQuestion:
		b.hear(payload)
	case kindAnswer:
		b.asks.answered(payload)
	case kindProbe:
		b.subs.probed(channel)
	}
}

// deliver hands messages over to the node. Neighbours of one stream become one call.
func (b *Broker) deliver(messages []message) {
	var waiting delivery
	for _, m := range messages {
		if m.channel == "" {
			b.flush(&waiting)
			b.node.Restored()
			continue
		}
		if stream, ok := b.names.stream(m.channel); ok {
			b.handOver(&waiting, stream, m)
		}
	}
	b.flush(&waiting)
}

// delivery is publications of one stream.
type delivery struct {
	stream, epoch string
	entries       []herald.Entry
}

func (b *Broker) flush(d *delivery) {
	if len(d.entries) > 0 {
		b.node.Deliver(d.stream, d.epoch, d.entries)
	}
	d.entries = nil
}

func (b *Broker) handOver(waiting *delivery, stream string, m message) {
	var (
		p   publications
		err error
	)
	switch m.payload[0] {
	case kindMembers:
		b.flush(waiting)
		b.handOverChanges(stream, m.payload)
		return
	case kindPlain:
		if p, err = decodePlain(m.payload, b.self); len(p.entries) == 0 && err == nil {
			return // it was said here
		}
	case kindKept:
		p, err = decodeKept(m.payload)
	}
	if err != nil {
		b.log.Warn("redis: a message that cannot be read", "stream", stream, "err", err)
		return
	}
	if waiting.stream != stream || waiting.epoch != p.epoch || len(waiting.entries) == 0 {
		b.flush(waiting)
		*waiting = delivery{stream, p.epoch, p.entries}
		return
	}
	waiting.entries = append(waiting.entries, p.entries...)
}

func (b *Broker) handOverChanges(channel, payload string) {
	changes, err := decodeMembers(channel, payload)
	if err != nil {
		b.log.Warn("redis: a message that cannot be read", "channel", channel, "err", err)
		return
	}
	b.node.PresenceChanged(changes)
}
