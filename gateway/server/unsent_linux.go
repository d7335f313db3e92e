package server

import (
	"net"
	"syscall"
)

// unsent is how much of an answer the kernel takes that it cannot send yet, in
// bytes. Without a limit it keeps megabytes for a caller who does not read, and the
// provider goes on generating what nobody reads. What is on its way is not counted,
// so a fast connection is not slowed.
const unsent = 64 << 10

// tcpNotsentLowat is TCP_NOTSENT_LOWAT of linux/tcp.h, which package syscall lacks.
const tcpNotsentLowat = 25

// limitUnsent holds a connection to that; one that is not TCP is left as it is.
func limitUnsent(c net.Conn) {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return
	}
	if raw, err := tcp.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { // a kernel that cannot keeps more, that is all
			_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpNotsentLowat, unsent)
		})
	}
}
