// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package receiver

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ukdump/ukdump/pkg/target/s3"
)

const (
	// firstPart is the size of the first parts of an object, in bytes; the store
	// wants 5 MiB at least. It is also how much of a request is in memory.
	firstPart = 8 << 20
	// maxPieces bounds the pieces of what is not a part yet.
	maxPieces = 100
	maxWord   = 1024 // bounds names that the store has made up, in bytes
)

// partSize returns the size of a part, of which the first has number 1. An object
// of up to 16 GiB has parts of 8 MiB, and one of 484 GiB, the most, of 128 MiB.
func partSize(number int) int64 { return int64(s3.PartSize(firstPart, number)) }

// bucketState is what is known of an upload to a bucket. It is an object, in JSON.
//
// What has come is in parts of a multipart upload, which nobody can read until that
// is completed, and, as parts have to be large, after them in pieces, which are
// objects. Before a part is sent its number is written down, so that no two
// requests ever use the same: one whose state is out of date cannot do harm.
type bucketState struct {
	known
	Mark   string  // another one in each version of the state
	Ended  bool    // it is about to be removed; nobody can do anything with it
	Upload string  // ID of the multipart upload; none before the first part
	Next   int     // number of the next part
	Trying int     // of the part that is being sent, or 0
	Lost   []int   // numbers of parts of which nobody knows whether they were sent
	Stored int64   // bytes in parts
	Pieces []piece // what follows the parts
}

// piece is an object with a part of a part.
type piece struct {
	Name string
	Size int64 // in bytes
}

// tail returns how many bytes are in pieces.
func (s *bucketState) tail() (bytes int64) {
	for _, p := range s.Pieces {
		bytes += p.Size
	}
	return bytes
}

// clone returns a copy to change.
func (s *bucketState) clone() bucketState {
	c := *s
	c.Lost, c.Pieces = slices.Clone(s.Lost), slices.Clone(s.Pieces)
	return c
}

// has reports whether the part of that number is one of the file's.
func (s *bucketState) has(number int) bool {
	return number >= 1 && number < s.Next && number != s.Trying && !slices.Contains(s.Lost, number)
}

// errState says that what is written down of an upload cannot be true.
var errState = errors.New("the state of the upload is damaged")

// parseState reads a state. Whoever can write to the bucket can have made it.
func parseState(text []byte) (bucketState, error) {
	var s bucketState
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("%w: %w", errState, err)
	}
	return s, errors.Join(s.checkNames(), s.checkSizes(), s.checkParts())
}

func (s *bucketState) checkNames() error {
	slot, err := slotOf(s.ID)
	if err != nil {
		return fmt.Errorf("%w: ID %.80q", errState, s.ID)
	}
	names := strings.Split(s.Path, "/")
	if len(names) != 3 || names[0] != s.Machine {
		return fmt.Errorf("%w: path %.80q", errState, s.Path)
	}
	f, err := newFile(names[0], names[1], names[2])
	if err != nil {
		return fmt.Errorf("%w: %w", errState, err)
	}
	if f.slot() != slot {
		return fmt.Errorf("%w: ID %.80q is not one of %.80q", errState, s.ID, s.Path)
	}
	if len(s.Mark) > maxWord || len(s.Upload) > maxWord {
		return fmt.Errorf("%w: long names", errState)
	}
	return nil
}

func (s *bucketState) checkSizes() error {
	if len(s.Pieces) > maxPieces {
		return fmt.Errorf("%w: %d pieces", errState, len(s.Pieces))
	}
	for _, p := range s.Pieces {
		// Another name would be that of another upload's.
		if p.Size < 1 || p.Size > maxEnd || checkName(p.Name) != nil || p.Name == stateName {
			return fmt.Errorf("%w: piece %.80q of %d bytes", errState, p.Name, p.Size)
		}
	}
	if s.Stored < 0 || s.Stored > maxEnd || s.Offset != s.Stored+s.tail() || s.Length < -1 || s.Length > maxEnd ||
		s.Length >= 0 && s.Offset > s.Length {
		return fmt.Errorf("%w: %d bytes in parts, %d in pieces, %d of %d in all", errState, s.Stored, s.tail(), s.Offset, s.Length)
	}
	return nil
}

func (s *bucketState) checkParts() error {
	ok := s.Next >= 1 && s.Next <= s3.MaxParts+1 && (s.Trying == 0 || s.Trying >= 1 && s.Trying == s.Next-1) && len(s.Lost) < s.Next
	for _, number := range s.Lost {
		ok = ok && number >= 1 && number < s.Next
	}
	if !ok || s.tail() > partSize(s.Next) {
		return fmt.Errorf("%w: part %d is next, %d is being sent, %d are lost, %d bytes in pieces", errState, s.Next, s.Trying, len(s.Lost), s.tail())
	}
	return nil
}
