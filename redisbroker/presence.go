package redisbroker

import (
	"context"
	"fmt"

	"github.com/redis/rueidis"

	"github.com/herald-events/herald"
)

// Apply tells that members of this node have come, changed or gone, in one call.
func (b *Broker) Apply(ctx context.Context, channel string, changes []herald.NodeChange) (herald.Applied, error) {
	args := make([]string, 0, 3+3*len(changes))
	args = append(args, newID(), b.names.channel(channel), "")
	for _, c := range changes {
		args = append(args, what(c), c.ID, string(c.Info))
	}
	said, err := b.change(ctx, channel, applyScript, args)
	if err != nil {
		return herald.Applied{}, err
	}
	applied := herald.Applied{Version: said.version}
	for _, i := range said.refused {
		if i < 0 || i >= int64(len(changes)) {
			return herald.Applied{}, unavailable(errAnswer)
		}
		if applied.Refused == nil {
			applied.Refused = map[int]error{}
		}
		applied.Refused[int(i)] = &herald.Error{
			Code: herald.CodeBadMember, Message: fmt.Sprintf("the member id %q is taken", changes[i].ID),
		}
	}
	return applied, nil
}

// what is how scripts/apply.lua calls a change.
func what(c herald.NodeChange) string {
	switch {
	case c.Gone:
		return "g"
	case c.Signed:
		return "s"
	}
	return "c"
}

// Replace makes these the members of this node on a channel.
func (b *Broker) Replace(ctx context.Context, channel string, members []herald.NodeMember) error {
	args := make([]string, 0, 3+3*len(members))
	args = append(args, newID(), b.names.channel(channel), "")
	for _, m := range members {
		args = append(args, what(herald.NodeChange{NodeMember: m}), m.ID, string(m.Info))
	}
	_, err := b.change(ctx, channel, replaceScript, args)
	return err
}

// changed is what a script that changes a room has answered.
type changed struct {
	version   herald.RoomVersion
	remaining int64 // this life's members
	refused   []int64
}

// change runs a script that changes a room, whose third argument is the command to publish with.
func (b *Broker) change(ctx context.Context, channel string, s script, args []string) (said changed, err error) {
	if err := b.ready(); err != nil {
		return said, err
	}
	args[2] = b.publishCommand()
	stay, err := b.enter(ctx, channel)
	if err != nil {
		return said, unavailable(err)
	}
	said, err = decodeChanged(b.run(ctx, s, b.names.room(channel, stay.life), args))
	if err != nil {
		b.exit(ctx, channel, stay, nil)
		return said, unavailable(err)
	}
	b.exit(ctx, channel, stay, &said)
	return said, nil
}

func decodeChanged(result rueidis.RedisResult) (c changed, err error) {
	answer, err := result.ToArray()
	if err != nil {
		return c, err
	}
	if len(answer) != 4 {
		return c, errAnswer
	}
	if c.version, err = decodeVersion(answer); err != nil {
		return c, err
	}
	if c.remaining, err = answer[2].AsInt64(); err != nil {
		return c, err
	}
	c.refused, err = answer[3].AsIntSlice()
	return c, err
}

func decodeVersion(answer []rueidis.RedisMessage) (herald.RoomVersion, error) {
	at, err := decodePair(answer)
	return herald.RoomVersion{Epoch: at.Epoch, Number: at.Offset}, err
}

// Members lists a channel's members over all nodes.
func (b *Broker) Members(ctx context.Context, channel string) (herald.Room, error) {
	if err := b.ready(); err != nil {
		return herald.Room{}, err
	}
	keys := b.names.room(channel, b.life.id())
	room, err := decodeRoom(b.run(ctx, membersScript, keys, []string{newID()}))
	return room, unavailable(err)
}

func decodeRoom(result rueidis.RedisResult) (r herald.Room, err error) {
	answer, err := result.ToArray()
	if err != nil {
		return r, err
	}
	if len(answer) != 4 {
		return r, errAnswer
	}
	if r.Version, err = decodeVersion(answer); err != nil {
		return r, err
	}
	ids, err := answer[2].AsStrSlice()
	if err != nil {
		return r, err
	}
	infos, err := answer[3].AsStrMap()
	if err != nil {
		return r, err
	}
	r.Members = make([]herald.Member, len(ids))
	for i, id := range ids {
		r.Members[i].ID = id
		if info := infos[id]; info != "" {
			r.Members[i].Info = []byte(info)
		}
	}
	return r, nil
}
