package herald

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"

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

// noAuthSecret refuses whoever asks for a private or presence channel of a server that can verify no
// channel token.
const noAuthSecret = "private channels need an auth secret, and none is configured"

// verify accepts the token of exactly this connection, channel and data. Who the data names is
// parseMember's to say.
func (k channelKeys) verify(auth, socketID string, ch Channel, channelData string, hasData bool) error {
	switch {
	case len(k) == 0:
		return refuse(CodeForbidden, noAuthSecret)
	case auth == "":
		return refuse(CodeForbidden, "%s needs a channel token: POST /ws/auth with this socket id", ch)
	}
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
