package process_test

import (
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast/internal/process"
)

func TestATextMayBeWrittenByManyAndReadMeanwhile(t *testing.T) {
	var text process.Text
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				_, _ = text.Write([]byte("x"))
				_ = text.String()
			}
		})
	}
	all.Wait()
	if n := len(text.String()); n != 800 {
		t.Errorf("%d bytes of 800", n)
	}
}

func TestFiguresAreThoseOfTheProcess(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("processes are looked at below /proc, which is Linux's")
	}
	held := make([]byte, 64<<20)
	for i := 0; i < len(held); i += os.Getpagesize() {
		held[i] = 1
	}
	if n, err := process.Memory(os.Getpid()); err != nil || n < int64(len(held)) {
		t.Errorf("%d bytes, %v; %d are held", n, err, len(held))
	}
	runtime.KeepAlive(held)
	before, err := process.Time(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); ; {
		now, err := process.Time(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if now > before {
			break
		}
		if time.Now().After(end) {
			t.Fatal("ten seconds of work took no processor time")
		}
	}
	if arguments, err := process.Arguments(os.Getpid()); err != nil || !slices.Equal(arguments, os.Args) {
		t.Errorf("%q, %v, want %q", arguments, err, os.Args)
	}
}

func TestAProcessThatIsGoneIsAnError(t *testing.T) {
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	pid := gone.Process.Pid
	if n, err := process.Memory(pid); err == nil {
		t.Errorf("it holds %d bytes", n)
	}
	if d, err := process.Time(pid); err == nil {
		t.Errorf("it used %s", d)
	}
	if a, err := process.Arguments(pid); err == nil {
		t.Errorf("it has arguments %q", a)
	}
}
