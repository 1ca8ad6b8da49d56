package redisbroker

import (
	"strconv"

	"github.com/redis/rueidis"

	"github.com/herald-events/herald"
)

// maxStreams bounds the streams to which one script call appends: Redis does nothing else meanwhile.
const maxStreams = 64

// shipment is a command that takes batches to Redis: one, or several that are kept and have no ids. Those
// share a call, since calling a script costs more than what it does for a stream.
type shipment struct {
	b       *Broker
	batches []*batch
	channel string // of a plain one, which is no script
	script  script
	keys    []string
	args    []string
}

// call makes a command of a script.
type call func(script, rueidis.Client, []string, []string) rueidis.Completed

func (s *shipment) command(how call) rueidis.Completed {
	if first := s.batches[0]; first.kind() == plain {
		return s.b.publishTo(s.channel, rueidis.BinaryString(first.frames))
	}
	return how(s.script, s.b.client(), s.keys, s.args)
}

// settle settles the batches with what Redis has answered: two values for each.
func (s *shipment) settle(result rueidis.RedisResult) {
	if first := s.batches[0]; first.kind() == plain {
		first.fail(unavailable(result.Error()))
		return
	}
	answer, err := result.ToArray()
	if err == nil && len(answer) != 2*len(s.batches) {
		err = errAnswer
	}
	for i, b := range s.batches {
		if err != nil {
			b.settle(nil, err)
			continue
		}
		b.settle(answer[2*i:2*i+2], nil)
	}
}

// ship makes the shipments of batches, each of another stream, in the memory of former ones.
func (b *Broker) ship(out []shipment, batches []*batch, known addresses) []shipment {
	most := maxStreams
	if b.isCluster() {
		most = 1 // a script's keys are of one slot
	}
	open := -1 // the index of the shipment to which more streams can be added
	for _, next := range batches {
		at := known.of(b.names, next)
		if next.kind() == appended && open >= 0 && len(out[open].batches) < most {
			out[open].add(next, at)
			continue
		}
		out = oneMore(out)
		last := &out[len(out)-1]
		b.begin(last, next)
		last.add(next, at)
		if next.kind() == appended {
			open = len(out) - 1
		}
	}
	return out
}

// oneMore lengthens out by an empty shipment.
func oneMore(out []shipment) []shipment {
	if len(out) == cap(out) {
		return append(out, shipment{})
	}
	out = out[:len(out)+1]
	last := &out[len(out)-1]
	*last = shipment{batches: last.batches[:0], keys: last.keys[:0], args: last.args[:0]}
	return out
}

// begin sets what a shipment has once, whatever its batches are.
func (b *Broker) begin(s *shipment, first *batch) {
	s.b = b
	switch first.kind() {
	case appended:
		s.script, s.args = appendScript, append(s.args, newID(), b.publishCommand())
	case recorded:
		s.script, s.args = recordScript, append(s.args, newID(), b.publishCommand())
	case once:
		s.script, s.args = onceScript, append(s.args, b.publishCommand())
	}
}

func (s *shipment) add(b *batch, at address) {
	s.batches = append(s.batches, b)
	switch b.kind() {
	case plain:
		s.channel = at.channel
		return
	case appended:
		s.keys = append(s.keys, at.history[0], at.history[1])
		s.args = append(s.args, at.channel, at.count, at.age, strconv.Itoa(b.count))
	case recorded:
		s.keys = append(s.keys, at.history...)
		s.args = append(s.args, at.channel, at.count, at.age)
	case once:
		s.keys = append(s.keys, at.history[2])
		s.args = append(s.args, at.channel, string(kindPlain)+anyNode)
	}
	s.args = b.appendFrames(s.args)
}

// empty lets go of what was sent, and keeps the memory for the next.
func (s *shipment) empty() {
	clear(s.batches)
	clear(s.keys)
	clear(s.args)
}

// address is what commands for a stream are made of.
type address struct {
	channel    string
	history    []string
	keep       herald.Retention
	count, age string
}

// addresses spares making them anew for each command.
type addresses map[string]address

// maxAddresses bounds them: past it they are forgotten, and made again for those who are still about.
const maxAddresses = 10_000

func (known addresses) of(n names, b *batch) address {
	at, ok := known[b.stream]
	if ok && at.keep == b.keep {
		return at
	}
	if len(known) >= maxAddresses {
		clear(known)
	}
	at = address{
		channel: n.channel(b.stream), history: n.history(b.stream), keep: b.keep,
		count: strconv.Itoa(b.keep.Count), age: milliseconds(b.keep.Age),
	}
	known[b.stream] = at
	return at
}
