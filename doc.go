// Package herald delivers a backend's events: to browsers over WebSocket and Server-Sent Events,
// and to the application's own handlers.
//
// Two kinds of thing move through a [Server]. A channel message is something said on a channel: it
// flies to whoever is subscribed, and is kept only where the channel has a history. A domain event is
// a fact that happened: it has an id, a type and a payload, and reaches handlers, sockets and streams
// that subscribed to its type.
//
//	srv, err := herald.New(herald.Config{})
//	if err != nil {
//		return err
//	}
//	go srv.Run(ctx)
//	http.Handle("/", srv.Handler())
//
//	srv.Broadcast(ctx, "orders", "created", order)                // a channel message
//	srv.Publish(ctx, herald.UserRegistered{UserID: id})           // a domain event
//	herald.On(srv, func(ctx context.Context, e herald.Typed[herald.UserRegistered]) error {
//		return sendWelcome(ctx, e.Payload.UserID)
//	})
//
// # Promises
//
//   - A broadcast never waits for a subscriber, and one slow subscriber never delays another: what
//     a connection does not read waits in a queue of its own, and past its bound the connection is
//     closed with 4408.
//   - Memory per connection is bounded, whatever the client does.
//   - The messages of one channel reach every subscriber in the same order, and all domain events
//     reach every connection in one order; of several nodes without a history, in the order of each
//     that publishes.
//   - A resume is complete and without duplicates, or says that it is not.
//   - A private channel admits nobody without a valid token for that connection and channel or,
//     over Server-Sent Events, the authorizer's yes.
//   - A member joins a presence channel once and leaves it once, however many connections it has, and on
//     however many nodes.
//   - A drain closes every connection over the drain time and says when to come back.
//
// # Goroutines
//
// [Server.Run] owns every long goroutine but those of handlers: each asynchronous subscription of
// [Server.Subscribe] has one, from then until it is unsubscribed or the server ends. Handlers of
// different subscriptions run concurrently; the calls of one never do, unless it is called
// [Synchronously], by whoever publishes.
package herald
