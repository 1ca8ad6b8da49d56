package hub

// topic is a channel that has subscribers on this loop.
type topic struct {
	name    string
	members []member
	shared  int    // how many of the members are in other topics too
	waiting []line // for the queue's flush
	dirty   int    // its place among the queue's topics, while something waits
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
