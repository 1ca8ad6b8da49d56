package herald

import (
	"bytes"

	"github.com/gobwas/httphead"
	"github.com/gobwas/ws/wsflate"
)

// fullWindow is the window of the compressor, in bits: it has no other (RFC 7692 section 7.1.2).
const fullWindow = 15

// compression is what a handshake agrees on.
type compression struct{ accepted bool }

// negotiate answers one offer (RFC 7692 section 7.1): the first that can be honoured is accepted, without
// context takeover on either side. One that is wrong or cannot be honoured is left unanswered, which
// declines it.
func (c *compression) negotiate(offer httphead.Option) (httphead.Option, error) {
	var asked wsflate.Parameters
	if c.accepted || !bytes.Equal(offer.Name, wsflate.ExtensionNameBytes) || asked.Parse(offer) != nil || !isSound(offer) {
		return httphead.Option{}, nil
	}
	if asked.ServerMaxWindowBits.Defined() && asked.ServerMaxWindowBits < fullWindow {
		return httphead.Option{}, nil
	}
	c.accepted = true
	return wsflate.Parameters{
		ServerNoContextTakeover: true,
		ClientNoContextTakeover: true,
		ServerMaxWindowBits:     asked.ServerMaxWindowBits,
	}.Option(), nil
}

// isSound looks for what Parse lets pass: a parameter that comes twice, and a number that begins with a zero
// (RFC 7692 sections 7.1 and 7.1.2).
func isSound(offer httphead.Option) bool {
	sound := true
	seen := map[string]bool{}
	offer.Parameters.ForEach(func(name, value []byte) bool {
		sound = sound && !seen[string(name)] && !bytes.HasPrefix(value, []byte("0"))
		seen[string(name)] = true
		return sound
	})
	return sound
}
