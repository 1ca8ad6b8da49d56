package webhook

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// prefix begins the text of a secret, so that one that has leaked is known for what it is.
const prefix = "whsec_"

// The specification has secrets of this many bytes; its example, and that of the libraries, is 24.
const (
	minKey = 24
	maxKey = 64
	newKey = 32
)

// Secret signs what goes to one endpoint. It prints as "whsec_…"; only [Secret.Text] shows it.
type Secret struct{ key []byte }

// NewSecret makes one of 256 random bits.
func NewSecret() Secret {
	key := make([]byte, newKey)
	rand.Read(key) // never fails
	return Secret{key}
}

// ParseSecret reads "whsec_" and the base64 of 24 to 64 bytes. An error does not repeat the text.
func ParseSecret(text string) (Secret, error) {
	encoded, ok := strings.CutPrefix(text, prefix)
	if !ok {
		return Secret{}, fmt.Errorf("a secret begins with %q", prefix)
	}
	key, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil || strings.ContainsAny(encoded, "\r\n") { // which base64 skips
		return Secret{}, errors.New("what follows whsec_ is no base64")
	}
	if len(key) < minKey || len(key) > maxKey {
		return Secret{}, fmt.Errorf("a secret has %d to %d bytes, not %d", minKey, maxKey, len(key))
	}
	return Secret{key}, nil
}

// SecretOf is a secret that both sides know by its bytes, as they stand.
func SecretOf(key string) Secret { return Secret{[]byte(key)} }

// IsSecret tells whether a text has the form of a secret's, right or wrong.
func IsSecret(text string) bool { return strings.HasPrefix(text, prefix) }

// Text is the secret as [ParseSecret] reads it.
func (s Secret) Text() string { return prefix + base64.StdEncoding.EncodeToString(s.key) }

// String does not show the secret.
func (Secret) String() string { return prefix + "…" }

// GoString does not either.
func (s Secret) GoString() string { return s.String() }
