// Package socket owns connections: it reads their messages, writes what the hub sends, keeps them
// alive and closes them.
//
// Every connection belongs to one [Loop] for its whole life. A loop is a goroutine with an inbox:
// all that happens to its connections happens there, one thing after the other, so an [Owner] and
// a [Shard] need no lock. Work gets onto a loop with [Loop.Post], which never waits. Methods of
// [Conn] are for the connection's loop alone unless they say otherwise.
//
// How the bytes travel is the connection's link. On Linux a plain TCP connection is a descriptor that
// the loop reads and writes itself, without waiting: an idle one has no goroutine and no buffer. Where
// the loop cannot do that (TLS ended in this process, HTTP/2, other systems), a goroutine reads, and
// one writes for as long as something waits; neither touches what the loop owns.
package socket
