// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package target is where dumps go, seen from the side that writes them: an
// interface and what all its kinds promise. Each kind is a package below this
// one. A target moves bytes under names and knows nothing of dumps.
package target

import (
	"context"
	"errors"
	"io"
)

// Incomplete is what follows the name of a file until it is committed.
const Incomplete = "-incomplete"

// ErrNoSpace is wrapped by the errors of writing to a target that is full.
var ErrNoSpace = errors.New("no space left")

// ErrNothingKept is what Abort returns where a file that is given up leaves nothing
// behind.
var ErrNothingKept = errors.New("nothing of it is kept")

// Store is where the directories of dumps lie: what one line of the configuration
// names. A kind of target is a package with a type Options and a function
//
//	Open(ctx context.Context, o Options) (*Store, error)
//
// that connects, authenticates and returns when the store answers, or when ctx
// ends. Everything after that goes through this interface. A store may implement
// Notebook, too.
type Store interface {
	// Make makes a new place for the files of one dump and returns it. If the
	// name is taken, "-2" is appended, then "-3" and so on; the target's String
	// says which it became. It is durable when Make returns, where such a thing
	// exists.
	Make(ctx context.Context, name string) (Target, error)

	// Close lets go of the store and of all that was made of it. Files under way
	// stay incomplete. It does not wait for servers.
	Close() error

	// String names the store in messages, without secrets.
	String() string
}

// Target takes files under names that the caller makes up. Its methods may be
// called from several goroutines.
type Target interface {
	// Create starts a file. The name has no slash. Until Commit the target keeps
	// it as name+Incomplete, or whatever else shows that it is not whole. What
	// an earlier, uncommitted attempt left under that name is replaced; a
	// committed file of that name is an error, which may come as late as Commit.
	//
	// If reserve is not 0, room for that many bytes is set aside at once where
	// the target can, so that writing them later cannot fail for lack of space.
	//
	// When ctx ends, the file's methods fail as soon as the target allows. A
	// disk that does not answer may not allow it ever: callers that must go on
	// leave such a call behind.
	Create(ctx context.Context, name string, reserve int64) (File, error)

	// Free returns how many bytes can still be written. It is an error that
	// wraps errors.ErrUnsupported if the target cannot know.
	Free(ctx context.Context) (int64, error)

	// String names the target in messages.
	String() string
}

// Syncer is implemented by files whose bytes can be made durable before Commit.
type Syncer interface {
	// Sync makes durable what was written. The file stays incomplete.
	Sync() error
}

// Keeper is implemented by stores that can remove old dumps.
type Keeper interface {
	// Keep removes the oldest dumps of a machine, so that keep complete ones are
	// left, those that were made since the store was opened among them: these are
	// never removed. What is not complete goes if it is older than all that stay.
	//
	// A dump is a directory whose name is prefix, the time of the crash, as in
	// 2006-01-02-15:04:05 or with hyphens, and perhaps "-2" and so on. One that has
	// anything but the files of a capture run is left alone, and does not count.
	//
	// It returns the names of what it has removed, also with an error, after which
	// it goes on with the others.
	Keep(ctx context.Context, prefix string, keep int) (removed []string, err error)
}

// Notebook is implemented by targets that can keep a few words from one run to
// the next.
type Notebook interface {
	// ReadNote returns the note of that name; nothing if there is none.
	ReadNote(name string) ([]byte, error)
	// WriteNote replaces the note; without text it is removed. When WriteNote
	// returns nil, this survives a power failure. After an error, or a crash
	// while it runs, the note is either the old or the new one.
	WriteNote(name string, text []byte) error
}

// File is a file that is being written. Its methods are for one goroutine at a
// time. A file must be ended by either Commit or Abort.
//
// Targets that can change what was written before, such as file systems, give
// out files that implement io.WriterAt as well. Those are made for large writes
// at ascending offsets, with a few small ones elsewhere: headers, once they are
// known. The end of the file is the highest offset that was written to; what
// was not written below it is zeros. Write goes on from the end of the last
// Write, whatever WriteAt did. They may also have a method Truncate(size int64)
// error, by which a file that does not fit starts over.
type File interface {
	// Write may return before the bytes are safe; only Commit says that.
	io.Writer
	// Commit makes all bytes durable and then the file visible under its name.
	// When it returns nil, both survive a power failure. After an error the file
	// is as if aborted.
	Commit() error
	// Abort gives the file up. What was written stays behind, marked as
	// incomplete, where the target can do that: half a dump may be of use. Where it
	// cannot, Abort returns ErrNothingKept. Abort after Commit or Abort does nothing.
	Abort() error
}
