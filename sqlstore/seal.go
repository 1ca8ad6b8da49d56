package sqlstore

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// ErrEncryptionKey says that something in the store was encrypted with a key that is not among those given.
var ErrEncryptionKey = errors.New("what is kept is encrypted with another encryption key")

// minEncryptionKey is the length in characters below which a key can be guessed by whoever has the database.
const minEncryptionKey = 16

// seals encrypt what nobody may read in the database. The first encrypts, all can read; without one all stays as it is.
type seals []seal

// seal is AES-256-GCM under a key that is made of a text by HKDF with SHA-256.
type seal struct {
	id   string // tells which of several it is, and nothing of the key
	aead cipher.AEAD
}

func newSeals(keys []string) (seals, error) {
	var all seals
	for i, text := range keys {
		if len(text) < minEncryptionKey {
			return nil, fmt.Errorf("encryption key %d has %d characters; at least %d are needed", i+1, len(text), minEncryptionKey)
		}
		s, err := newSeal(text)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

func newSeal(text string) (seal, error) {
	derive := func(purpose string, size int) ([]byte, error) {
		return hkdf.Key(sha256.New, []byte(text), nil, "herald "+purpose, size)
	}
	id, err := derive("key id", 4)
	if err != nil {
		return seal{}, err
	}
	key, err := derive("webhook secrets", 32)
	if err != nil {
		return seal{}, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return seal{}, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return seal{hex.EncodeToString(id), aead}, err
}

// sealed begins the text of something that is encrypted; its form is "aes256gcm:<key>:<base64>".
const sealed = "aes256gcm:"

// close encrypts a text that belongs to an owner: for another it cannot be read.
func (s seals) close(text, owner string) string {
	if len(s) == 0 {
		return text
	}
	closed := s[0].aead.Seal(nil, nil, []byte(text), []byte(owner))
	return sealed + s[0].id + ":" + base64.StdEncoding.EncodeToString(closed)
}

// open reads what close has made, also what was kept before there was a key.
func (s seals) open(text, owner string) (string, error) {
	rest, ok := strings.CutPrefix(text, sealed)
	if !ok {
		return text, nil
	}
	id, encoded, _ := strings.Cut(rest, ":")
	closed, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return "", err
	}
	for _, key := range s {
		if key.id == id {
			opened, err := key.aead.Open(nil, nil, closed, []byte(owner))
			return string(opened), err
		}
	}
	return "", ErrEncryptionKey
}

// current tells whether a text is as close would leave it now.
func (s seals) current(text string) bool {
	if len(s) == 0 {
		return true // what is encrypted stays so
	}
	return strings.HasPrefix(text, sealed+s[0].id+":")
}
