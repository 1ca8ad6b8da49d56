package redisbroker

import (
	"strconv"
	"strings"
)

// slots is how many a cluster has.
const slots = 16384

// slotOf is the slot of a key or channel: that of its hash tag, as the cluster specification has it.
func slotOf(key string) uint16 {
	if _, rest, found := strings.Cut(key, "{"); found {
		if tag, _, closed := strings.Cut(rest, "}"); closed && tag != "" {
			key = tag
		}
	}
	return crc16(key) % slots
}

// crc16 is the CRC-16/XMODEM of the cluster specification, bit by bit: it is used once for a subscription.
func crc16(text string) uint16 {
	var crc uint16
	for i := range len(text) {
		crc ^= uint16(text[i]) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return crc
}

// tagIn finds a hash tag whose slot is one of those given.
func tagIn(served []uint16) string {
	is := make(map[uint16]bool, len(served))
	for _, slot := range served {
		is[slot] = true
	}
	for i := 0; ; i++ {
		if tag := ":" + strconv.Itoa(i); is[crc16(tag)%slots] {
			return tag
		}
	}
}
