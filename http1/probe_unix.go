//go:build unix

package http1

import "syscall"

// silent reports whether an idle socket has nothing to read, not even its end.
// Go's sockets do not block, so the read returns at once; a byte that it takes
// was not asked for, and ends the connection.
func silent(fd uintptr) bool {
	var one [1]byte
	for {
		_, err := syscall.Read(int(fd), one[:])
		if err != syscall.EINTR { //nolint:errorlint // the system call's own number
			return err == syscall.EAGAIN //nolint:errorlint // as above
		}
	}
}
