package hub

// topic is a channel that has subscribers on this loop.
type topic struct {
	name    string
	members []member
	shared  int    // how many of the members are in other topics too
	waiting []line // for the queue's flush
	dirty   int    // its place among the queue's topics, while something waits
	kept    *kept  // of a channel with a history; nil: it has none
}

// kept is what a topic of a channel with a history has beside.
type kept struct {
	at        Place // of the last message that its members have
	followers map[*Subscriber]*follower
	joining   []joiner // of them, until the flush
}

// isOver tells whether a message is of a life of the channel's history in which nobody is any more.
func (t *topic) isOver(m Message) bool {
	return t.kept != nil && m.At.Life != nil && m.At.Life != t.kept.at.Life
}

// empty tells whether nobody is subscribed.
func (t *topic) empty() bool {
	return len(t.members) == 0 && (t.kept == nil || len(t.kept.followers) == 0)
}

// member is one subscriber of a topic.
type member struct {
	subscriber *Subscriber
	slot       int32 // in subscriber.channels
}

// remove fills a member's place with the last one.
func (t *topic) remove(index int) {
	last := len(t.members) - 1
	m := t.members[last]
	t.members[last] = member{}
	t.members = t.members[:last]
	if index < last {
		t.members[index] = m
		m.subscriber.channels[m.slot].index = int32(index)
	}
}
