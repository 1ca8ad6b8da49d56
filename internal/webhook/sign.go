package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The headers of a message.
const (
	HeaderID        = "webhook-id"
	HeaderTimestamp = "webhook-timestamp"
	HeaderSignature = "webhook-signature"
)

// Tolerance is how far a message's timestamp may be from the receiver's clock: a message that somebody has recorded is
// not good for longer.
const Tolerance = 5 * time.Minute

// scheme is the one of HMAC-SHA256.
const scheme = "v1"

// Why a message is not believed.
var (
	ErrNoSignature = errors.New("the headers webhook-id, webhook-timestamp and webhook-signature are not all there")
	ErrTooOld      = errors.New("the timestamp is too old")
	ErrTooNew      = errors.New("the timestamp is in the future")
	ErrSignature   = errors.New("no signature fits the message")
)

// Sign is the signature header of a message: a signature by each secret, so that a receiver that knows one of them can
// verify.
func Sign(id string, at time.Time, body []byte, secrets ...Secret) string {
	timestamp := strconv.FormatInt(at.Unix(), 10)
	var header strings.Builder
	for i, s := range secrets {
		if i > 0 {
			header.WriteByte(' ')
		}
		header.WriteString(scheme + "," + base64.StdEncoding.EncodeToString(s.sum(id, timestamp, body)))
	}
	return header.String()
}

func (s Secret) sum(id, timestamp string, body []byte) []byte {
	mac := hmac.New(sha256.New, s.key)
	mac.Write([]byte(id + "." + timestamp + "."))
	mac.Write(body)
	return mac.Sum(nil)
}

// Verify checks that a message was signed by secret within the [Tolerance] of now. Signatures of other schemes and by
// other secrets may stand beside the one that fits.
func Verify(secret Secret, header http.Header, body []byte, now time.Time) error {
	id, timestamp := header.Get(HeaderID), header.Get(HeaderTimestamp)
	signatures := strings.Join(header.Values(HeaderSignature), " ")
	if id == "" || timestamp == "" || signatures == "" {
		return ErrNoSignature
	}
	if !fits(signatures, secret.sum(id, timestamp, body)) {
		return ErrSignature
	}
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return ErrNoSignature
	}
	switch at := time.Unix(seconds, 0); {
	case at.Before(now.Add(-Tolerance)):
		return ErrTooOld
	case at.After(now.Add(Tolerance)):
		return ErrTooNew
	}
	return nil
}

// fits tells, in constant time for each, whether one of the signatures is sum.
func fits(signatures string, sum []byte) bool {
	for signature := range strings.FieldsSeq(signatures) {
		encoded, ok := strings.CutPrefix(signature, scheme+",")
		if !ok {
			continue
		}
		given, err := base64.StdEncoding.DecodeString(encoded)
		if err == nil && hmac.Equal(given, sum) {
			return true
		}
	}
	return false
}
