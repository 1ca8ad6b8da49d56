package herald

import (
	"context"
	"slices"
	"strings"
)

// SubscriberCount is how many connections are subscribed to a channel, over all nodes. The error has
// [CodeUnavailable] where the others cannot be asked or one of them does not answer, since the number would be too
// small. One that has been silent for a moment is left out; see [Cluster]. This goes for whatever is asked of all nodes.
func (s *Server) SubscriberCount(ctx context.Context, channel string) (int, error) {
	n := 0
	err := s.ask(ctx, clusterQuestion{Do: askCount, Channel: channel}, func(a clusterAnswer) bool {
		n += a.Count
		return false
	})
	return n, err
}

// HasSubscribers tells whether anybody would get what is said on a channel.
func (s *Server) HasSubscribers(ctx context.Context, channel string) (bool, error) {
	found := false
	err := s.ask(ctx, clusterQuestion{Do: askCount, Channel: channel}, func(a clusterAnswer) bool {
		found = found || a.Count > 0
		return found
	})
	return found, err
}

// ChannelInfo is what is known of a channel.
type ChannelInfo struct {
	Name        string      `json:"name"`
	Type        ChannelType `json:"type"`
	Subscribers int         `json:"subscribers"`
	Members     *int        `json:"members,omitempty"` // on presence channels
}

// Channels lists the channels that have subscribers, over all nodes, by name.
func (s *Server) Channels(ctx context.Context) ([]ChannelInfo, error) {
	return s.channelsWith(ctx, "")
}

// channelsWith lists those whose names begin with a prefix.
func (s *Server) channelsWith(ctx context.Context, prefix string) ([]ChannelInfo, error) {
	all := map[string]occupancy{}
	err := s.ask(ctx, clusterQuestion{Do: askChannels, Channel: prefix}, func(a clusterAnswer) bool {
		for name, o := range a.Channels {
			sum := all[name]
			all[name] = occupancy{sum.Subscribers + o.Subscribers, max(sum.Members, o.Members)}
		}
		return false
	})
	infos := make([]ChannelInfo, 0, len(all))
	for name, o := range all {
		infos = append(infos, channelInfo(Channel{name}, o))
	}
	slices.SortFunc(infos, func(a, b ChannelInfo) int { return strings.Compare(a.Name, b.Name) })
	return infos, err
}

// channel tells of one channel.
func (s *Server) channel(ctx context.Context, ch Channel) (ChannelInfo, error) {
	n, err := s.SubscriberCount(ctx, ch.String())
	if err != nil || ch.Type() != Presence {
		return channelInfo(ch, occupancy{Subscribers: n}), err
	}
	members, err := s.PresenceMembers(ctx, ch.String())
	return channelInfo(ch, occupancy{n, len(members)}), err
}

func channelInfo(ch Channel, o occupancy) ChannelInfo {
	info := ChannelInfo{Name: ch.String(), Type: ch.Type(), Subscribers: o.Subscribers}
	if ch.Type() == Presence {
		info.Members = &o.Members
	}
	return info
}

// PresenceMembers lists who is on a presence channel, over all nodes, in the order in which they came.
func (s *Server) PresenceMembers(ctx context.Context, channel string) ([]Member, error) {
	room, err := s.broker.Members(ctx, channel)
	if err != nil {
		return nil, unavailable(err)
	}
	return append([]Member{}, room.Members...), nil
}

// Disconnect closes the connection with that socket id or connection id (4410), on whatever node it is; it
// reports how many there were, which is 0 or 1. The error has [CodeUnavailable] where none was found and a node has
// not answered.
func (s *Server) Disconnect(ctx context.Context, socketID string) (int, error) {
	if err := s.checkRun(); err != nil {
		return 0, err
	}
	n := 0
	err := s.ask(ctx, clusterQuestion{Do: askDisconnect, ID: socketID}, func(a clusterAnswer) bool {
		n += a.Count
		return n > 0
	})
	return n, err
}

// DisconnectUser closes all connections of a user (4410) and reports how many there were. Where the error has
// [CodeUnavailable] because a node has not answered, those of the others are closed.
func (s *Server) DisconnectUser(ctx context.Context, userID string) (int, error) {
	if err := s.checkRun(); err != nil {
		return 0, err
	}
	n := 0
	err := s.ask(ctx, clusterQuestion{Do: askDisconnectUser, ID: userID}, func(a clusterAnswer) bool {
		n += a.Count
		return false
	})
	return n, err
}

// checkRun refuses what needs the loops before there are any.
func (s *Server) checkRun() error {
	if s.state.Load() == phaseNew {
		return refuse(CodeUnavailable, "the server is not running")
	}
	return nil
}
