package audit

import "fmt"

// Break is the first entry that breaks a chain, and how.
type Break struct {
	Seq uint64
	ID  string // empty: the entry is missing
	Why string
}

func (b *Break) Error() string {
	return fmt.Sprintf("entry %d (%s) breaks the chain: %s", b.Seq, b.ID, b.Why)
}

// Verifier computes a chain again, entry by entry.
type Verifier struct {
	seq  uint64 // of the last entry; 0: none yet
	hash string // of the last entry
}

// NewVerifier verifies what follows an entry with that seq and hash. [Start] at 0 is before the first.
func NewVerifier(seq uint64, hash string) *Verifier { return &Verifier{seq, hash} }

// Last is the entry that was verified last.
func (v *Verifier) Last() (seq uint64, hash string) { return v.seq, v.hash }

// Next verifies the next entry; the error is a [Break].
func (v *Verifier) Next(e *Entry) error {
	switch {
	case e.Seq != v.seq+1:
		return &Break{Seq: v.seq + 1, Why: "it is missing"}
	case e.PrevHash != v.hash:
		return &Break{e.Seq, e.ID, "its prevHash is not the hash of the entry before it"}
	case e.Hash != e.sum():
		return &Break{e.Seq, e.ID, "its hash is not that of what it says"}
	}
	v.seq, v.hash = e.Seq, e.Hash
	return nil
}
