// Package wire turns Herald's native protocol into bytes and back: client
// messages are decoded by [Decode], server messages are the functions named
// after them, and [Block] and [Retry] are the text of a Server-Sent Events
// stream (WHATWG HTML, section 9.2.6).
//
// It knows the JSON shapes and nothing of their meaning: channel names, event
// names and patterns pass through unchecked, for the door to judge. It keeps
// no state, so everything here may be called from any goroutine.
package wire
