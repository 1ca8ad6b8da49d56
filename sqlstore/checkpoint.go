package sqlstore

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/herald-events/herald"
)

// checkKeys refuses keys of which ed25519 makes a panic.
func checkKeys(c Config) error {
	if c.SigningKey != nil && len(c.SigningKey) != ed25519.PrivateKeySize {
		return errors.New("SigningKey is no key of ed25519")
	}
	if slices.ContainsFunc(c.VerifyingKeys, func(k ed25519.PublicKey) bool { return len(k) != ed25519.PublicKeySize }) {
		return errors.New("one of VerifyingKeys is no key of ed25519")
	}
	return nil
}

// checkpoint is where the chain goes on behind entries that were removed.
type checkpoint struct {
	head
	at        int64 // milliseconds
	signature string
}

// text is what is signed.
func (c checkpoint) text() []byte {
	return fmt.Appendf(nil, "herald audit checkpoint %d %s %d", c.seq, c.hash, c.at)
}

func (c *checkpoint) sign(key ed25519.PrivateKey) {
	c.signature = hex.EncodeToString(ed25519.Sign(key, c.text()))
}

// isSigned tells whether one of these keys has signed.
func (c checkpoint) isSigned(keys []ed25519.PublicKey) bool {
	signature, err := hex.DecodeString(c.signature)
	return err == nil && slices.ContainsFunc(keys, func(k ed25519.PublicKey) bool { return ed25519.Verify(k, c.text(), signature) })
}

// verifyingKeys are all keys that may have signed; none: signatures are not checked.
func (s *Store) verifyingKeys() []ed25519.PublicKey {
	keys := slices.Clone(s.others)
	if s.key != nil {
		keys = append(keys, s.key.Public().(ed25519.PublicKey))
	}
	return keys
}

// checkpoints reads the checkpoints that a query selects, and checks their signatures where the store has keys.
func (s *Store) checkpoints(ctx context.Context, from reader, which string, args ...any) (all []checkpoint, err error) {
	err = from.query(ctx, func(r row) error {
		var c checkpoint
		err := r.Scan(&c.seq, &c.hash, &c.at, &c.signature)
		all = append(all, c)
		return err
	}, "SELECT seq, hash, at, signature FROM herald_audit_checkpoints "+which, args...)
	if err != nil {
		return nil, err
	}
	keys := s.verifyingKeys()
	for _, c := range all {
		if len(keys) > 0 && !c.isSigned(keys) {
			return nil, &herald.AuditBreak{Seq: c.seq, Why: "the checkpoint that ends what was removed is not signed with a key that is known"}
		}
	}
	return all, nil
}

// lastCheckpoint is where entries were removed up to; without any it is the start of the chain.
func (s *Store) lastCheckpoint(ctx context.Context, from reader) (head, error) {
	all, err := s.checkpoints(ctx, from, "ORDER BY seq DESC LIMIT 1")
	if err != nil || len(all) == 0 {
		return start, err
	}
	return all[0].head, nil
}

// Checkpoints counts the checkpoints that stand in the place of entries that were removed. The error is an
// [herald.AuditBreak] where one of them is signed with none of the keys of [Config]; without a key that is not checked.
func (s *Store) Checkpoints(ctx context.Context) (n int, err error) {
	for after := uint64(0); ; {
		page, err := s.checkpoints(ctx, s.db, "WHERE seq > ? ORDER BY seq LIMIT ?", int64(after), entriesPage)
		if err != nil {
			return n, err
		}
		n += len(page)
		if len(page) < entriesPage {
			return n, nil
		}
		after = page[len(page)-1].seq
	}
}
