package redisbroker

import (
	"crypto/rand"
)

// idLength is that of a node's id and of an epoch: 80 bits in base32.
const idLength = 16

func newID() string { return rand.Text()[:idLength] }
