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
	batches []*batch
	script  script // of all but plain ones
	keys    []string
	args    []string
	plain   rueidis.Completed
}

// call makes a command of a script.
type call func(script, rueidis.Client, []string, []string) rueidis.Completed

func (s *shipment) command(c rueidis.Client, how call) rueidis.Completed {
	if s.batches[0].kind() == plain {
		return s.plain
	}
	return how(s.script, c, s.keys, s.args)
}

// settle settles the batches with what Redis has answered: two values for each.
func (s *shipment) settle(result rueidis.RedisResult) {
	if s.batches[0].kind() == plain {
		return // nobody waits
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

// ship appends the shipments of batches, each of another stream.
func (b *Broker) ship(out []shipment, batches []*batch, known addresses) []shipment {
	most := maxStreams
	if b.isCluster() {
		most = 1 // a script's keys are of one slot
	}
	open := -1 // the index of the shipment to which more streams can be added
	for i, next := range batches {
		at := known.of(b.names, next)
		if next.kind() != appended {
			out = append(out, b.shipOne(batches[i:i+1:i+1], at))
			continue
		}
		if open < 0 || len(out[open].batches) >= most {
			open = len(out)
			out = append(out, shipment{script: appendScript, args: []string{newID(), b.publishCommand()}})
		}
		out[open].add(next, at)
	}
	return out
}

func (s *shipment) add(b *batch, at address) {
	s.batches = append(s.batches, b)
	s.keys = append(s.keys, at.history[0], at.history[1])
	s.args = append(s.args, at.channel, at.count, at.age, strconv.Itoa(b.count))
	s.args = b.appendFrames(s.args)
}

func (b *Broker) shipOne(one []*batch, at address) shipment {
	s := shipment{batches: one}
	switch one[0].kind() {
	case plain:
		s.plain = b.publishTo(at.channel, rueidis.BinaryString(one[0].frames))
	case once:
		s.script, s.keys = onceScript, at.history[2:]
		s.args = one[0].appendFrames([]string{b.publishCommand(), at.channel, string(kindPlain) + b.self})
	default:
		s.script, s.keys = recordScript, at.history
		s.args = one[0].appendFrames([]string{newID(), b.publishCommand(), at.channel, at.count, at.age})
	}
	return s
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
