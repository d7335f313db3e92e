package server

import (
	"net"
	"testing"
	"time"
)

func TestTheKernelHoldsLittleForACallerWhoDoesNotRead(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	silent, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if err := silent.(*net.TCPConn).SetReadBuffer(8 << 10); err != nil {
		t.Fatal(err)
	}
	c, err := unsentListener{l}.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
	taken, piece := 0, make([]byte, 16<<10)
	for err == nil {
		var n int
		n, err = c.Write(piece)
		taken += n
	}
	const most = 8 * unsent // what is not sent, what the other side has room for, and rounding
	if taken > most {
		t.Errorf("%d bytes were taken for somebody who does not read, want at most %d", taken, most)
	}
}
