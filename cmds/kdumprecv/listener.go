// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kdumprecv

import (
	"net"
	"sync"
)

// limitedListener bounds connections: in all, and from one address, so that
// whoever cannot prove anything cannot hold all of them. One too many is closed at
// once; capture kernels try again.
type limitedListener struct {
	net.Listener
	all, each int // at the most; 0 means any number

	mu   sync.Mutex
	open map[string]int // connections by address
	sum  int
}

func limitConnections(l net.Listener, all, each int) net.Listener {
	return &limitedListener{Listener: l, all: all, each: each, open: map[string]int{}}
}

// Accept implements net.Listener.
func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := conn.RemoteAddr().String()
		if host, _, err := net.SplitHostPort(from); err == nil {
			from = host
		}
		if l.add(from) {
			return &countedConn{Conn: conn, closed: sync.OnceFunc(func() { l.remove(from) })}, nil
		}
		conn.Close()
	}
}

// add counts a connection, if there may be one more.
func (l *limitedListener) add(from string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all > 0 && l.sum >= l.all || l.each > 0 && l.open[from] >= l.each {
		return false
	}
	l.sum++
	l.open[from]++
	return true
}

func (l *limitedListener) remove(from string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sum--
	if l.open[from]--; l.open[from] == 0 {
		delete(l.open, from)
	}
}

// countedConn says when it is closed.
type countedConn struct {
	net.Conn
	closed func()
}

// Close implements net.Conn.
func (c *countedConn) Close() error {
	c.closed()
	return c.Conn.Close()
}
