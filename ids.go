package herald

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"regexp"
)

// A WebSocket has a socket id and a stream a connection id. Both are the server's own making, name
// one connection for as long as it lives, and are all that a client needs to ask for its tokens or
// to speak for its stream: nobody may be able to guess them.
var (
	socketIDForm     = regexp.MustCompile(`^[0-9]{1,20}\.[0-9]{1,20}$`) // as numbers of 64 bits may be
	connectionIDForm = regexp.MustCompile(`^sse-[A-Z2-7]{26}$`)         // what newConnectionID makes
)

// newSocketID names a WebSocket; 126 random bits. The numbers have 63 bits, so that clients may read
// them as signed ones.
func newSocketID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return fmt.Sprintf("%d.%d", binary.BigEndian.Uint64(b[:8])>>1, binary.BigEndian.Uint64(b[8:])>>1)
}

// newConnectionID names a stream; 130 random bits.
func newConnectionID() string { return "sse-" + rand.Text() }

func validSocketID(id string) bool     { return socketIDForm.MatchString(id) }
func validConnectionID(id string) bool { return connectionIDForm.MatchString(id) }

// checkConnectionID checks the id of a connection of either kind.
func checkConnectionID(id string) error {
	if validSocketID(id) || validConnectionID(id) {
		return nil
	}
	return refuse(CodeBadRequest, "is no socket id such as 137204873.482911, and no connection id")
}
