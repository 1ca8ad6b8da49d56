package socket

// HeldBytes is how much came behind a message for which the connection is held.
func HeldBytes(c *Conn) int {
	if c.in == nil {
		return 0
	}
	return len(c.in.rest)
}
