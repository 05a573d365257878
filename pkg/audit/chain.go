package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	auditv1 "souk/gen/go/souk/audit/v1"
)

// Position is a place in the chain: the number of an entry and its hash. The zero value is the place before the first
// entry.
type Position struct {
	Seq  int64
	Hash []byte
}

// Entry is an entry of the chain.
type Entry struct {
	Seq int64
	At  time.Time // to the microsecond
	*auditv1.Recorded
	Hash []byte
}

// Next returns the entry that follows a position.
func (p Position) Next(r *auditv1.Recorded, at time.Time) Entry {
	e := Entry{Seq: p.Seq + 1, At: at.UTC().Truncate(time.Microsecond), Recorded: r}
	e.Hash = e.hash(p.Hash)
	return e
}

// Position returns the entry's place.
func (e Entry) Position() Position { return Position{Seq: e.Seq, Hash: e.Hash} }

// hash is SHA-256 of the hash before, and of the entry's fields in the order of souk.audit.v1.Recorded, between number
// and time. Each field is preceded by its length in 4 bytes, the most significant first; a list by its number of items.
func (e Entry) hash(before []byte) []byte {
	h := sha256.New()
	field := func(b []byte) {
		var length [4]byte
		binary.BigEndian.PutUint32(length[:], uint32(len(b))) //nolint:gosec // fields are short
		h.Write(length[:])
		h.Write(b)
	}
	text := func(s string) { field([]byte(s)) }
	field(before)
	text(strconv.FormatInt(e.Seq, 10))
	text(e.GetActorKind())
	text(e.GetActorId())
	text(strconv.Itoa(len(e.GetRoles())))
	for _, role := range e.GetRoles() {
		text(role)
	}
	for _, s := range []string{
		e.GetPermission(), e.GetMethod(), e.GetAction(), e.GetObject(), e.GetResult(), e.GetAddress(),
		e.GetRequestId(), strconv.FormatInt(e.At.UnixMicro(), 10),
	} {
		text(s)
	}
	return h.Sum(nil)
}

// ErrAltered is the error of a chain that is not as it was written.
var ErrAltered = errors.New("the audit trail was altered")

// Check checks that an entry follows a position, and returns the entry's own.
//
// Errors: ErrAltered.
func (p Position) Check(e Entry) (Position, error) {
	if e.Seq != p.Seq+1 {
		return p, fmt.Errorf("%w: entry %d follows entry %d", ErrAltered, e.Seq, p.Seq)
	}
	if !bytes.Equal(e.hash(p.Hash), e.Hash) {
		return p, fmt.Errorf("%w: entry %d does not have its hash", ErrAltered, e.Seq)
	}
	return e.Position(), nil
}

// Checkpoint is a signed position. Kept where those who can write to the database cannot, it proves later that no entry
// up to it was changed or removed.
type Checkpoint struct {
	Position
	At        time.Time // to the second
	Signature []byte
}

// DeriveKey derives the key that signs checkpoints from a secret of at least 32 bytes.
func DeriveKey(secret []byte) (ed25519.PrivateKey, error) {
	seed, err := hkdf.Key(sha256.New, secret, nil, "souk audit", ed25519.SeedSize)
	if err != nil {
		return nil, err
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// Sign signs a position.
func Sign(key ed25519.PrivateKey, p Position, at time.Time) Checkpoint {
	c := Checkpoint{Position: p, At: at.UTC().Truncate(time.Second)}
	c.Signature = ed25519.Sign(key, c.text())
	return c
}

// text is what is signed: four lines, with the entry's number, its hash in base64, and the time as RFC 3339.
func (c Checkpoint) text() []byte {
	return fmt.Appendf(nil, "souk audit\n%d\n%s\n%s\n", c.Seq, base64.StdEncoding.EncodeToString(c.Hash),
		c.At.UTC().Format(time.RFC3339))
}

// Verify checks the signature.
//
// Errors: ErrAltered.
func (c Checkpoint) Verify(key ed25519.PublicKey) error {
	if !ed25519.Verify(key, c.text(), c.Signature) {
		return fmt.Errorf("%w: the checkpoint of entry %d is not signed with the key", ErrAltered, c.Seq)
	}
	return nil
}

// String returns the checkpoint as one line: number, hash and signature in base64, and time.
func (c Checkpoint) String() string {
	return fmt.Sprintf("%d %s %s %s", c.Seq, base64.StdEncoding.EncodeToString(c.Hash),
		base64.StdEncoding.EncodeToString(c.Signature), c.At.UTC().Format(time.RFC3339))
}

// ParseCheckpoint reads a line that String wrote.
func ParseCheckpoint(line string) (c Checkpoint, err error) {
	parts := strings.Fields(line)
	if len(parts) != 4 {
		return c, fmt.Errorf("%q is no checkpoint: number, hash, signature and time", line)
	}
	c.Seq, err = strconv.ParseInt(parts[0], 10, 64)
	hash, hashErr := base64.StdEncoding.DecodeString(parts[1])
	signature, signatureErr := base64.StdEncoding.DecodeString(parts[2])
	at, atErr := time.Parse(time.RFC3339, parts[3])
	if err := errors.Join(err, hashErr, signatureErr, atErr); err != nil {
		return c, fmt.Errorf("%q is no checkpoint: %w", line, err)
	}
	c.Hash, c.Signature, c.At = hash, signature, at
	return c, nil
}
