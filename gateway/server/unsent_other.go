//go:build !linux

package server

import "net"

// limitUnsent leaves to the kernel how much it holds for callers who do not read.
func limitUnsent(net.Conn) {}
