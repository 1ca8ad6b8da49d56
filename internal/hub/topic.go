package hub

// topic is a channel that has subscribers on this loop.
type topic struct {
	name    string
	members []*membership
	shared  int    // how many of the members are in other topics too
	waiting []line // for the queue's flush
	dirty   int    // its place among the queue's topics, while something waits
}

// membership is one subscriber's place in a topic.
type membership struct {
	topic      *topic
	subscriber *Subscriber
	index      int // in topic.members
}

func (t *topic) add(sub *Subscriber) *membership {
	m := &membership{topic: t, subscriber: sub, index: len(t.members)}
	t.members = append(t.members, m)
	return m
}

func (t *topic) remove(m *membership) {
	last := t.members[len(t.members)-1]
	t.members[m.index] = last
	last.index = m.index
	t.members[len(t.members)-1] = nil
	t.members = t.members[:len(t.members)-1]
}
