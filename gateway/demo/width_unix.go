//go:build linux || darwin || freebsd

package demo

import (
	"io"
	"os"
	"syscall"
	"unsafe"
)

// terminalWidth returns how many columns a terminal has, and whether w is one.
func terminalWidth(w io.Writer) (columns int, ok bool) {
	f, ok := w.(*os.File)
	if !ok {
		return 0, false
	}
	var size struct{ rows, columns, x, y uint16 }
	_, _, problem := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), syscall.TIOCGWINSZ, uintptr(unsafe.Pointer(&size))) //nolint:gosec // the kernel fills the struct
	if problem != 0 {
		return 0, false
	}
	if size.columns == 0 { // a terminal that does not say, as some serial lines
		return 80, true
	}
	return int(size.columns), true
}
