package herald

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/herald-events/herald/internal/hub"
)

// SubscriberCount is how many connections are subscribed to a channel.
func (s *Server) SubscriberCount(channel string) int { return s.hub.Count(channel) }

// HasSubscribers tells whether anybody would get what is said on a channel.
func (s *Server) HasSubscribers(channel string) bool { return s.SubscriberCount(channel) > 0 }

// ChannelInfo is what is known of a channel.
type ChannelInfo struct {
	Name        string      `json:"name"`
	Type        ChannelType `json:"type"`
	Subscribers int         `json:"subscribers"`
	Members     *int        `json:"members,omitempty"` // on presence channels
}

// Channels lists the channels that have subscribers, by name.
func (s *Server) Channels() []ChannelInfo {
	infos := []ChannelInfo{}
	s.hub.Channels(func(name string, subscribers int) {
		infos = append(infos, s.channelInfo(Channel{name}, subscribers))
	})
	sortChannels(infos)
	return infos
}

func (s *Server) channelInfo(ch Channel, subscribers int) ChannelInfo {
	info := ChannelInfo{Name: ch.String(), Type: ch.Type(), Subscribers: subscribers}
	if ch.Type() == Presence {
		members, _ := s.rooms.count(ch.String())
		info.Members = &members
	}
	return info
}

// sortChannels puts channels in the order of pages.
func sortChannels(infos []ChannelInfo) {
	slices.SortFunc(infos, func(a, b ChannelInfo) int { return strings.Compare(a.Name, b.Name) })
}

// PresenceMembers lists who is on a presence channel, in the order in which they came.
func (s *Server) PresenceMembers(channel string) []Member {
	room, _ := s.broker.Members(context.Background(), channel)
	return room.Members
}

// Disconnect closes the connection with that socket id or connection id (4410); it reports how
// many there were, which is 0 or 1.
func (s *Server) Disconnect(ctx context.Context, socketID string) (int, error) {
	if err := s.checkRun(); err != nil {
		return 0, err
	}
	return disconnected(s.hub.CloseConnection(ctx, socketID, disconnectedByAPI))
}

// DisconnectUser closes all connections of a user (4410) and reports how many there were.
func (s *Server) DisconnectUser(ctx context.Context, userID string) (int, error) {
	if err := s.checkRun(); err != nil {
		return 0, err
	}
	return disconnected(s.hub.CloseUser(ctx, userID, disconnectedByAPI))
}

// checkRun refuses what needs the loops before there are any.
func (s *Server) checkRun() error {
	if s.state.Load() == phaseNew {
		return refuse(CodeUnavailable, "the server is not running")
	}
	return nil
}

func disconnected(n int, err error) (int, error) {
	if errors.Is(err, hub.ErrEnded) {
		return 0, nil // every connection is closed by now
	}
	return n, err
}
