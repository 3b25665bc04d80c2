// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kallsyms

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/vmcoreinfo"
)

// opener reads the small parts of the table. The first failure leaves err and
// makes the later reads return zeros.
type opener struct {
	info  *vmcoreinfo.Info
	mem   mem.VirtReader
	order binary.ByteOrder
	err   error
}

func (o *opener) fail(err error) {
	if o.err == nil {
		o.err = err
	}
}

func (o *opener) symbol(name string) mem.VirtAddr {
	addr, ok := o.info.Symbol(name)
	if !ok {
		o.fail(errors.New("VMCOREINFO has no SYMBOL(" + name + ")"))
	}
	return addr
}

func (o *opener) read(name string, b []byte, addr mem.VirtAddr) {
	if o.err != nil {
		return
	}
	if err := o.mem.ReadVirt(b, addr); err != nil {
		o.fail(fmt.Errorf("%s: %w", name, err))
	}
}

// variable returns the unsigned integer of width bytes in the variable name.
func (o *opener) variable(name string, width uint64) uint64 {
	var b [8]byte
	o.read(name, b[:width], o.symbol(name))
	return decodeUint(o.order, b[:width])
}

// window returns a window onto the array name, of up to size bytes.
func (o *opener) window(name string, size uint64) *mem.Window {
	addr := o.symbol(name)
	if o.err != nil {
		return nil
	}
	// The size of some arrays is only a bound, which may lead out of memory.
	size = min(size, -uint64(addr)-1)
	w, err := mem.NewWindow(o.mem, addr, size, 32<<10)
	if err != nil {
		o.fail(fmt.Errorf("%s: %w", name, err))
	}
	return w
}

// readTokens reads the tokens.
func (o *opener) readTokens(tokens *[256]string) {
	var index [512]byte
	o.read("kallsyms_token_index", index[:], o.symbol("kallsyms_token_index"))
	table := o.window("kallsyms_token_table", maxTokens)
	for i := range tokens {
		if o.err != nil {
			return
		}
		token, err := readString(table, uint64(o.order.Uint16(index[2*i:])))
		if err != nil {
			o.fail(fmt.Errorf("kallsyms_token_table, token %d: %w", i, err))
		}
		tokens[i] = token
	}
}

// readString returns the zero-terminated string at off.
func readString(w *mem.Window, off uint64) (string, error) {
	var s []byte
	for len(s) <= maxName {
		b, err := w.Read(off+uint64(len(s)), 1)
		if err != nil {
			return "", err
		}
		if b[0] == 0 {
			return string(s), nil
		}
		s = append(s, b[0])
	}
	return "", fmt.Errorf("over %d bytes long", maxName)
}

// decodeUint decodes the unsigned integer of 4 or 8 bytes that is b.
func decodeUint(order binary.ByteOrder, b []byte) uint64 {
	if len(b) == 4 {
		return uint64(order.Uint32(b))
	}
	return order.Uint64(b)
}
