// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
)

// Monitor is a connection to QEMU's monitor, in its protocol for machines
// (docs/interop/qmp-spec.txt of QEMU).
type Monitor struct {
	conn    net.Conn
	replies chan reply
	mu      sync.Mutex
}

type reply struct {
	Return json.RawMessage
	Error  *struct{ Desc string }
	Event  string
	Data   map[string]any
}

// Listen waits for a QEMU with "-qmp unix:SOCKET" to connect, and reports its
// events. The channel is closed when QEMU ends; it has room for all events of a
// machine's life.
func Listen(listener net.Listener) (*Monitor, <-chan Event, error) {
	conn, err := listener.Accept()
	if err != nil {
		return nil, nil, err
	}
	m := &Monitor{conn: conn, replies: make(chan reply, 1)}
	events := make(chan Event, 1000)
	go m.receive(events)
	return m, events, m.Execute("qmp_capabilities", nil)
}

// Event is something that happened to the machine.
type Event struct {
	Name string // for example "SHUTDOWN"
	Data map[string]any
}

func (m *Monitor) receive(events chan<- Event) {
	defer close(m.replies)
	defer close(events)
	for in := json.NewDecoder(m.conn); ; {
		var r reply
		if err := in.Decode(&r); err != nil {
			return
		}
		switch {
		case r.Event != "":
			events <- Event{r.Event, r.Data}
		case r.Return != nil || r.Error != nil: // or it is the greeting
			m.replies <- r
		}
	}
}

// Execute has QEMU carry out a command.
func (m *Monitor) Execute(command string, arguments map[string]any) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	request := map[string]any{"execute": command}
	if arguments != nil {
		request["arguments"] = arguments
	}
	if err := json.NewEncoder(m.conn).Encode(request); err != nil {
		return err
	}
	r, ok := <-m.replies
	switch {
	case !ok:
		return errors.New("QEMU has ended")
	case r.Error != nil:
		return fmt.Errorf("QEMU: %s: %s", command, r.Error.Desc)
	}
	return nil
}
