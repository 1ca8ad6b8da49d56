package socket

import "golang.org/x/sys/unix"

// Descriptor is the number of the descriptor that the loop owns for the connection; -1: none.
func Descriptor(c *Conn) int {
	if d, ok := c.link.(*descriptor); ok {
		return int(d.fd)
	}
	return -1
}

// Listens tells whether the loop hears of what the peer of such a connection sends.
func Listens(c *Conn) bool {
	d, ok := c.link.(*descriptor)
	return ok && d.interest&unix.EPOLLIN != 0
}
