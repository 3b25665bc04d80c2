// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package compress

import (
	"encoding/binary"
	"errors"
)

// LZO1X, from the description of the stream in the kernel's
// Documentation/staging/lzo.rst. A stream is a series of instructions, each with
// its operands, most of which copy bytes from what was decoded before:
//
//	0000LLLL           copy 4 or more literals, after a copy without literals
//	0000DDSS H         copy 2 bytes from up to 1 KiB back, after 1 to 3 literals
//	0000DDSS H         copy 3 bytes from 2 to 3 KiB back, after 4 or more literals
//	0001HLLL LE16      copy a block from 16 to 48 KiB back, or end the stream
//	001LLLLL LE16      copy a block from up to 16 KiB back
//	01LDDDSS H         copy 3 or 4 bytes from up to 2 KiB back
//	1LLDDDSS H         copy 5 to 8 bytes from up to 2 KiB back
//
// D and H are the distance, L the length, and S how many literals follow the
// copy, up to 3. LE16 is a little-endian number with the distance and S in it.
// A length that does not fit into its bits is continued by zero bytes, which
// stand for 255 each, and a last one. The first byte of a stream can say that
// up to 238 literals follow.
const (
	lzoShortDistance = 2 << 10  // the farthest that the two-byte copies reach
	lzoNearDistance  = 16 << 10 // the farthest for 001LLLLL
	lzoFarDistance   = 48<<10 - 1
	lzoFirst         = 17 // of the first byte, besides the number of literals
	lzoMaxFirst      = 255 - lzoFirst
)

// lzoEnd is a copy from a distance that means the end.
const lzoEnd = "\x11\x00\x00"

var (
	errLZOInput  = errors.New("ends in the middle")
	errLZOOutput = errors.New("longer than a page")
	errLZOCopy   = errors.New("copies from before the beginning")
)

// lzoDecoder is a stream being decoded.
type lzoDecoder struct {
	src  []byte // what is left of it
	page []byte
	n    int // bytes of page that were decoded
}

func decodeLZO(page, src []byte) error {
	d := lzoDecoder{src: src, page: page}
	if err := d.decode(); err != nil {
		return err
	}
	if d.n != len(page) || len(d.src) != 0 {
		return errSize
	}
	return nil
}

func (d *lzoDecoder) decode() error {
	if len(d.src) == 0 {
		return errLZOInput
	}
	literals := 0 // how many were copied last; 4 stands for more as well
	if first := int(d.src[0]); first > lzoFirst {
		d.src = d.src[1:]
		literals = min(first-lzoFirst, 4)
		if err := d.literals(first - lzoFirst); err != nil {
			return err
		}
	}
	for {
		// An instruction takes three bytes but for those that copy literals,
		// and the end takes three bytes behind those.
		if len(d.src) < 3 {
			return errLZOInput
		}
		opcode := int(d.src[0])
		if opcode < 16 && literals == 0 {
			d.src = d.src[1:]
			literals = 4
			if err := d.literals(3 + d.length(opcode, 15)); err != nil {
				return err
			}
			continue
		}
		var distance, length int
		switch {
		case opcode >= 64:
			length = opcode>>5 + 1
			distance = int(d.src[1])<<3 + opcode>>2&7 + 1
			literals = opcode & 3
			d.src = d.src[2:]
		case opcode >= 16:
			d.src = d.src[1:]
			if opcode >= 32 {
				length = 2 + d.length(opcode&31, 31)
				distance = 1
			} else {
				length = 2 + d.length(opcode&7, 7)
				distance = lzoNearDistance + opcode&8<<11
			}
			if len(d.src) < 2 {
				return errLZOInput
			}
			operand := int(binary.LittleEndian.Uint16(d.src))
			distance += operand >> 2
			literals = operand & 3
			d.src = d.src[2:]
			if distance == lzoNearDistance && opcode < 32 {
				if opcode != int(lzoEnd[0]) || literals != 0 {
					return errors.New("wrong end mark")
				}
				return nil
			}
		default:
			length, distance = 2, 1
			if literals == 4 {
				length, distance = 3, 1+lzoShortDistance
			}
			distance += int(d.src[1])<<2 + opcode>>2
			literals = opcode & 3
			d.src = d.src[2:]
		}
		if err := d.copy(distance, length); err != nil {
			return err
		}
		if err := d.literals(literals); err != nil {
			return err
		}
	}
}

// length returns a length of which bits are in the instruction, none of them if
// it is greater than most. It may be wrong at the end of the stream.
func (d *lzoDecoder) length(bits, most int) int {
	if bits != 0 {
		return bits
	}
	length := most
	for len(d.src) > 0 {
		b := d.src[0]
		d.src = d.src[1:]
		if b != 0 {
			return length + int(b)
		}
		length += 255
	}
	return length
}

func (d *lzoDecoder) literals(n int) error {
	if n > len(d.src) {
		return errLZOInput
	}
	if n > len(d.page)-d.n {
		return errLZOOutput
	}
	d.n += copy(d.page[d.n:], d.src[:n])
	d.src = d.src[n:]
	return nil
}

// copy repeats length bytes from distance bytes back. They may reach into what
// the copy itself makes.
func (d *lzoDecoder) copy(distance, length int) error {
	if distance > d.n {
		return errLZOCopy
	}
	if length > len(d.page)-d.n {
		return errLZOOutput
	}
	to := d.page[d.n : d.n+length]
	from := d.page[d.n-distance : d.n+length]
	for n := 0; n < length; {
		n += copy(to[n:], from[:distance+n])
	}
	d.n += length
	return nil
}
