// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image || s3

package s3

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"sync"
)

const (
	// firstPart is the size of the first parts, in bytes: the least that S3 takes.
	firstPart = 5 << 20
	// blockSize is the size of the buffers that a part is kept in, in bytes.
	blockSize = 256 << 10
)

// partSize returns the size of a part, of which the first has number 1. An object
// of up to 9.7 GiB has parts of 5 MiB, and one of 302 GiB, the most, of 80 MiB.
func partSize(number int) int { return PartSize(firstPart, number) }

// ahead returns how much there may be of a part while the one before is kept until
// the server has it. More of both would be more than a capture kernel has.
//
// Over TLS the request for a part begins when that much of it is there, and the rest
// is sent as it comes, so that the line is busy while the server stores the part
// before. Servers wait for a body for some 20 seconds, and what is written first of a
// dump, long before its pages, is less. Otherwise the hash of all of it comes first.
func ahead(number int, secure bool) int {
	if secure {
		return partSize(number) * 3 / 10
	}
	return partSize(number) / 2
}

// part is a part of a file, or the whole of a small one. One goroutine adds to it,
// while others read what there is, as often as it takes.
type part struct {
	number int
	sum    hash.Hash // of all that was added; nil if nobody wants it

	mu     sync.Mutex
	grown  sync.Cond
	blocks [][]byte // all but the last full; nil when they were taken away
	size   int      // bytes in them
	whole  bool     // nothing will be added
}

func newPart(number int, summed bool) *part {
	p := &part{number: number}
	p.grown.L = &p.mu
	if summed {
		p.sum = sha256.New()
	}
	return p
}

// full reports whether the last block is, or there is none.
func (p *part) full() bool { return p.size%blockSize == 0 }

// addBlock adds an empty block.
func (p *part) addBlock(block []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.blocks = append(p.blocks, block)
}

// add fills the last block and returns how much of data is in it.
func (p *part) add(data []byte) int {
	p.mu.Lock()
	last := &p.blocks[len(p.blocks)-1]
	n := copy((*last)[len(*last):blockSize], data)
	*last = (*last)[:len(*last)+n]
	p.size += n
	p.mu.Unlock()
	p.grown.Broadcast()
	if p.sum != nil {
		p.sum.Write(data[:n])
	}
	return n
}

// end says that nothing will be added.
func (p *part) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.whole = true
	p.grown.Broadcast()
}

// hash returns the SHA-256 of a part that is whole, or nothing if nobody wanted it.
func (p *part) hash() string {
	if p.sum == nil {
		return ""
	}
	return hex.EncodeToString(p.sum.Sum(nil))
}

// wait waits until the part is whole.
func (p *part) wait() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for !p.whole {
		p.grown.Wait()
	}
}

// length returns how long the part will be, unless the file ends before.
func (p *part) length() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.whole {
		return p.size
	}
	return partSize(p.number)
}

// take waits until the part is whole and takes the blocks away. A request whose
// answer came early may still try to read them.
func (p *part) take() [][]byte {
	p.wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := p.blocks
	p.blocks = nil
	return taken
}

// body reads a part for a request. To read it is to move.
type body struct {
	ctx   context.Context
	part  *part
	at    int
	moved func()
}

// body returns what reads the part until ctx ends.
func (p *part) body(ctx context.Context, moved func()) *body {
	context.AfterFunc(ctx, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.grown.Broadcast()
	})
	return &body{ctx: ctx, part: p, moved: moved}
}

// Read implements io.Reader. It waits for what is not there yet.
func (b *body) Read(to []byte) (int, error) {
	b.moved()
	p := b.part
	p.mu.Lock()
	defer p.mu.Unlock()
	for b.at >= p.size && !p.whole && b.ctx.Err() == nil {
		p.grown.Wait()
	}
	switch {
	case b.ctx.Err() != nil:
		return 0, context.Cause(b.ctx)
	case b.at >= p.size, p.blocks == nil:
		return 0, io.EOF
	}
	n := copy(to, p.blocks[b.at/blockSize][b.at%blockSize:])
	b.at += n
	return n, nil
}
