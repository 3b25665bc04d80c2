// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmtest

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
)

// BadDisk is a disk that breaks at a certain point. QEMU reaches it over a socket
// in the protocol of network block devices (doc/proto.md of
// github.com/NetworkBlockDevice/nbd), of which this serves what QEMU uses.
type BadDisk struct {
	breaks   Breakage
	breaksAt int64
	listener net.Listener
	image    *os.File
	awake    chan struct{} // closed when a silent disk is to answer again

	mu      sync.Mutex
	written int64
	place   int64 // of the disk that cannot be written, -1 if there is none yet
}

// Breakage is what becomes of a disk.
type Breakage string

// The kinds of breakage.
const (
	FailOne     Breakage = "one place cannot be written"
	FailWrites  Breakage = "writes fail"
	FailFlushes Breakage = "flushes fail"
	FailAll     Breakage = "everything fails"
	Silent      Breakage = "nothing is answered"
)

// ServeBadDisk serves the image on a socket. Once breaksAt bytes have been
// written, it breaks.
func ServeBadDisk(socket, image string, breaks Breakage, breaksAt int64) (*BadDisk, error) {
	file, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		file.Close()
		return nil, err
	}
	d := &BadDisk{breaks: breaks, breaksAt: breaksAt, listener: listener, image: file, awake: make(chan struct{}), place: -1}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go d.serve(conn)
		}
	}()
	return d, nil
}

// Wake has a silent disk answer, with errors.
func (d *BadDisk) Wake() {
	d.mu.Lock()
	defer d.mu.Unlock()
	select {
	case <-d.awake:
	default:
		close(d.awake)
	}
}

// Break has the disk break now.
func (d *BadDisk) Break() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.breaksAt = -1
}

// Close ends the disk.
func (d *BadDisk) Close() error {
	d.Wake()
	d.listener.Close()
	return d.image.Close()
}

// The protocol, all numbers big-endian.
const (
	nbdMagic      = 0x4e42444d41474943 // "NBDMAGIC"
	optionMagic   = 0x49484156454f5054 // "IHAVEOPT"
	optionReply   = 0x3e889045565a9
	requestMagic  = 0x25609513
	replyMagic    = 0x67446698
	fixedNewstyle = 1 << 0
	noZeroes      = 1 << 1
	hasFlags      = 1 << 0
	sendsFlush    = 1 << 2

	optExportName = 1
	optGo         = 7
	repAck        = 1
	repInfo       = 3
	repUnknown    = 1<<31 | 1

	cmdRead       = 0
	cmdWrite      = 1
	cmdDisconnect = 2
	cmdFlush      = 3

	maxRequest = 64 << 20
)

// serve talks to one QEMU, until something is wrong.
func (d *BadDisk) serve(conn net.Conn) {
	defer conn.Close()
	if d.negotiate(conn) == nil {
		_ = d.transmit(conn)
	}
}

func send(w io.Writer, fields ...any) error {
	var b bytes.Buffer
	for _, f := range fields {
		if err := binary.Write(&b, binary.BigEndian, f); err != nil {
			return err
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

// negotiate leads to the export, the only one there is.
func (d *BadDisk) negotiate(conn net.Conn) error {
	if err := send(conn, uint64(nbdMagic), uint64(optionMagic), uint16(fixedNewstyle|noZeroes)); err != nil {
		return err
	}
	var flags uint32
	if err := binary.Read(conn, binary.BigEndian, &flags); err != nil {
		return err
	}
	info, err := d.image.Stat()
	if err != nil {
		return err
	}
	export := []any{uint64(info.Size()), uint16(hasFlags | sendsFlush)}
	for {
		var option struct {
			Magic       uint64
			Number, Len uint32
		}
		if err := binary.Read(conn, binary.BigEndian, &option); err != nil {
			return err
		}
		if _, err := io.CopyN(io.Discard, conn, int64(option.Len)); err != nil {
			return err
		}
		switch option.Number {
		case optExportName:
			return send(conn, export...)
		case optGo:
			header := []any{uint64(optionReply), option.Number, uint32(repInfo), uint32(12), uint16(0)}
			if err := send(conn, append(header, export...)...); err != nil {
				return err
			}
			return send(conn, uint64(optionReply), option.Number, uint32(repAck), uint32(0))
		}
		if err := send(conn, uint64(optionReply), option.Number, uint32(repUnknown), uint32(0)); err != nil {
			return err
		}
	}
}

// transmit carries out requests, one after the other.
func (d *BadDisk) transmit(conn net.Conn) error {
	var request struct {
		Magic          uint32
		Flags, Command uint16
		Handle         uint64
		Offset         int64
		Size           uint32
	}
	for {
		if err := binary.Read(conn, binary.BigEndian, &request); err != nil {
			return err
		}
		if request.Magic != requestMagic || request.Size > maxRequest || request.Command == cmdDisconnect {
			return nil
		}
		data := make([]byte, request.Size)
		if request.Command == cmdWrite {
			if _, err := io.ReadFull(conn, data); err != nil {
				return err
			}
		}
		status, reply := uint32(0), []byte{}
		if err := d.do(request.Command, data, request.Offset); err != nil {
			status = uint32(syscall.EIO)
		} else if request.Command == cmdRead {
			reply = data
		}
		if err := send(conn, uint32(replyMagic), status, request.Handle, reply); err != nil {
			return err
		}
	}
}

// do carries out one request, or breaks.
func (d *BadDisk) do(command uint16, data []byte, offset int64) error {
	if d.broken(command, offset, int64(len(data))) {
		return syscall.EIO
	}
	switch command {
	case cmdRead:
		_, err := d.image.ReadAt(data, offset)
		return err
	case cmdWrite:
		_, err := d.image.WriteAt(data, offset)
		return err
	case cmdFlush:
		return nil
	}
	return syscall.EINVAL
}

// broken reports whether a request fails, and keeps it for as long as the disk
// is silent.
func (d *BadDisk) broken(command uint16, offset, size int64) bool {
	d.mu.Lock()
	if command == cmdWrite {
		d.written += size
	}
	broken := d.written > d.breaksAt
	if broken && d.place < 0 {
		d.place = offset
	}
	place := d.place
	d.mu.Unlock()
	if !broken {
		return false
	}
	switch d.breaks {
	case FailOne:
		return command == cmdWrite && offset <= place && place < offset+size
	case FailWrites:
		return command == cmdWrite
	case FailFlushes:
		return command == cmdFlush
	case Silent:
		<-d.awake
	}
	return true
}
