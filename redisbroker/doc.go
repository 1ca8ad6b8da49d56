// Package redisbroker connects the nodes of an application over Redis: it is a [herald.Broker].
//
//	broker, err := redisbroker.New(redisbroker.Config{URL: "redis://localhost:6379"})
//	srv, err := herald.New(herald.Config{Broker: broker})
//
// One Redis, a Sentinel set and a Redis Cluster do the same, from version 7 on. What belongs to one stream
// (its history, its members, its channel) shares a hash tag, so that one script call changes it and tells of it.
//
// What serves no connections and only publishes, such as a background job, is a [Publisher]; see [Connect].
//
// # What waits for Redis
//
// A publication without a history is delivered on its own node and handed over; nobody waits for Redis. One
// with a history waits for the script call that appends and tells, and is refused at once while Redis is
// away. What waits together goes in one pipeline, and what waits for one stream goes in one command.
//
// # Goroutines
//
// [Broker.Run] owns all of them: one sends what is published, one hands over to the node what has come, one
// tends the subscriptions, one looks after the connection, one after the lease and one after the epochs of quiet
// streams; and, while questions of other nodes are to be answered, up to 64 that do so. All have ended when it returns.
package redisbroker
