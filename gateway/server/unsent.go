package server

import "net"

// unsentListener accepts connections that hold little of what their callers do
// not read.
type unsentListener struct{ net.Listener }

// Accept waits for the next connection.
func (l unsentListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		limitUnsent(c)
	}
	return c, err
}
