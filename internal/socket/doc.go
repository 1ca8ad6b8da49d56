// Package socket owns connections: it reads their messages, writes what the hub sends, keeps them
// alive and closes them.
//
// Every connection belongs to one [Loop] for its whole life. A loop is a goroutine with an inbox:
// all that happens to its connections happens there, one thing after the other, so an [Owner] and
// a [Shard] need no lock. Work gets onto a loop with [Loop.Post], which never waits. Methods of
// [Conn] are for the connection's loop alone unless they say otherwise.
//
// Beside the loop a connection has a goroutine that reads, and one that writes for as long as the
// kernel has not taken everything. Neither touches what the loop owns.
package socket
