package herald

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"regexp"

	"github.com/herald-events/herald/internal/wire"
)

// SignChannel returns the channel token "<socketId>:<hex>" that lets the connection socketID join a
// private or presence channel. Any backend that knows the secret may sign. On a presence channel
// channelData is the member, {"id","info"?} as JSON text, and the client sends it byte for byte beside
// the token; on a private channel it may be empty.
func SignChannel(secret, socketID, channel, channelData string) (string, error) {
	if len(secret) < minSecret {
		return "", refuse(CodeBadRequest, "the secret has %d characters; at least %d are needed", len(secret), minSecret)
	}
	if !validSocketID(socketID) {
		return "", refuse(CodeBadRequest, "%q is no socket id such as 137204873.482911", socketID)
	}
	ch, err := ParseChannel(channel)
	if err != nil {
		return "", err
	}
	switch {
	case ch.Type() == Public:
		return "", refuse(CodeBadChannel, "the channel %s is public and needs no token", ch)
	case ch.Type() == Presence:
		_, err = parseMember([]byte(channelData))
	case channelData != "":
		err = checkChannelData(channelData)
	}
	if err != nil {
		return "", err
	}
	return channelKeys{secret}.sign(socketID, ch, channelData, channelData != ""), nil
}

// channelKeys are the secrets of channel tokens: the first signs, all verify.
type channelKeys []string

// sign makes a token; there must be a key. hasData tells no channel_data from an empty one, as the
// wire does.
func (k channelKeys) sign(socketID string, ch Channel, channelData string, hasData bool) string {
	return tokenWith(k[0], socketID, signedText(socketID, ch, channelData, hasData))
}

// verify accepts the token of exactly this connection, channel and data. Who the data names is
// parseMember's to say.
func (k channelKeys) verify(auth, socketID string, ch Channel, channelData string, hasData bool) error {
	text := signedText(socketID, ch, channelData, hasData)
	valid := false
	for _, secret := range k {
		// All are tried, so that the time does not tell which one signed.
		valid = hmac.Equal([]byte(auth), []byte(tokenWith(secret, socketID, text))) || valid
	}
	if !valid {
		return refuse(CodeForbidden, "the channel token does not fit this connection and channel")
	}
	if hasData {
		return checkChannelData(channelData)
	}
	return nil
}

func tokenWith(secret, socketID, text string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return socketID + ":" + hex.EncodeToString(mac.Sum(nil))
}

func signedText(socketID string, ch Channel, channelData string, hasData bool) string {
	text := socketID + ":" + ch.String()
	if hasData {
		text += ":" + channelData
	}
	return text
}

func checkChannelData(channelData string) error {
	if _, err := wire.Object([]byte(channelData)); err != nil {
		return &Error{Code: CodeBadMember, Message: "channel_data is not a JSON object", Err: err}
	}
	return nil
}

var socketIDForm = regexp.MustCompile(`^[0-9]{1,20}\.[0-9]{1,20}$`)

func validSocketID(id string) bool { return socketIDForm.MatchString(id) }

// newSocketID names a connection so that nobody can guess it: who knows a socket id may ask for its
// tokens. The numbers have 63 bits, so that clients may read them as signed ones.
func newSocketID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return fmt.Sprintf("%d.%d", binary.BigEndian.Uint64(b[:8])>>1, binary.BigEndian.Uint64(b[8:])>>1)
}

// newConnectionID names a channel stream; 130 random bits.
func newConnectionID() string { return "sse-" + rand.Text() }
