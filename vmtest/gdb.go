// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmtest

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// freeze has the CPUs of a machine run in a circle, with interrupts off, as a
// debugger would: no kernel gets out of that.
func freeze(m *Monitor) error {
	dir, err := os.MkdirTemp("", "gdb-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "socket")
	if err := m.Execute("human-monitor-command", map[string]any{
		"command-line": "gdbserver unix:" + socket + ",server=on,wait=off",
	}); err != nil {
		return err
	}
	conn, err := net.Dial("unix", socket) // which stops the machine
	if err != nil {
		return err
	}
	defer conn.Close()
	g := gdb{conn, bufio.NewReader(conn)}
	// The capture kernel runs on the CPU that panicked, whichever that is.
	for cpu := 1; ; cpu++ {
		if reply, err := g.command(fmt.Sprintf("Hg%x", cpu)); err != nil || reply != "OK" {
			break
		}
		if err := g.freeze(); err != nil {
			return err
		}
	}
	_, err = g.command("D") // go on without the debugger
	return err
}

// freeze has the chosen CPU go on with a jump to itself, and without interrupts.
func (g gdb) freeze() error {
	registers, err := g.command("g")
	if err != nil {
		return err
	}
	// The order of registers: 16 general ones, rip, eflags (4 bytes).
	const ripAt, flagsAt = 16 * 8, 17 * 8
	raw, err := hex.DecodeString(registers)
	if err != nil || len(raw) < flagsAt+4 {
		return fmt.Errorf("registers %.300q: %v", registers, err)
	}
	const interrupts = 1 << 9
	rip := binary.LittleEndian.Uint64(raw[ripAt:])
	flags := binary.LittleEndian.Uint32(raw[flagsAt:])
	binary.LittleEndian.PutUint32(raw[flagsAt:], flags&^interrupts)
	const jumpToItself = "ebfe"
	for _, command := range []string{
		fmt.Sprintf("M%x,2:%s", rip, jumpToItself),
		"G" + hex.EncodeToString(raw),
	} {
		if reply, err := g.command(command); err != nil || reply != "OK" {
			return fmt.Errorf("debugger: %.20s: %q, %v", command, reply, err)
		}
	}
	return nil
}

// gdb speaks the remote protocol of the debugger of that name.
type gdb struct {
	net.Conn
	in *bufio.Reader
}

// command sends a command and returns the reply. Over a socket, nothing is lost,
// so the acknowledgements are skipped.
func (g gdb) command(text string) (string, error) {
	sum := byte(0)
	for i := range len(text) {
		sum += text[i]
	}
	if _, err := fmt.Fprintf(g, "$%s#%02x", text, sum); err != nil {
		return "", err
	}
	for {
		packet, err := g.in.ReadString('#')
		if err != nil {
			return "", err
		}
		if _, err := g.in.Discard(2); err != nil { // its sum
			return "", err
		}
		if _, err := io.WriteString(g, "+"); err != nil {
			return "", err
		}
		_, reply, _ := strings.Cut(strings.TrimSuffix(packet, "#"), "$")
		if !strings.HasPrefix(reply, "T") { // or it tells that the machine has stopped
			return reply, nil
		}
	}
}
