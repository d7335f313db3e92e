package process

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// patience is how long a gateway may take to say where it serves, and how long to
// end after it was asked to.
var patience = 30 * time.Second

// longest is the longest line that is read of a gateway.
const longest = 16 << 20

// Gateway is a running `holdfast serve`.
type Gateway struct {
	Callers   string // the base address of callers, such as http://127.0.0.1:8080
	Operators string // the base address of operators
	Pid       int
	Errors    Text // what it said on standard error

	command *exec.Cmd
	reading sync.WaitGroup
	broken  error // why its log was not read to the end; to be read after reading
}

// Serve starts a command that is `holdfast serve` with logs in JSON, and returns
// when it said where it serves. line is called with each line of its log, one after
// the other, and must not keep it; without one the log is dropped. The error says
// why the command did not start, or what it said when it ended or stayed silent for
// half a minute; nothing is left running then.
//
// Who calls Serve calls Stop, once.
func Serve(command *exec.Cmd, line func([]byte)) (*Gateway, error) {
	g := &Gateway{command: command}
	command.Stderr = &g.Errors
	out, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	g.Pid = command.Process.Pid
	serving := make(chan [2]string, 1)
	g.reading.Go(func() {
		defer close(serving)
		g.broken = follow(out, line, serving)
		_, _ = io.Copy(io.Discard, out) // or it would wait for a reader
	})
	select {
	case at := <-serving:
		g.Callers, g.Operators = at[0], at[1]
	case <-time.After(patience):
		_ = command.Process.Kill()
	}
	if g.Callers == "" {
		return nil, errors.Join(errors.New("it did not say where it serves"), g.Stop())
	}
	return g, nil
}

// follow tells of every line, and of the one that says where the gateway serves. With
// nobody to tell it ends there.
func follow(out io.Reader, line func([]byte), serving chan<- [2]string) error {
	in := bufio.NewScanner(out)
	in.Buffer(nil, longest)
	for said := false; in.Scan(); {
		if line != nil {
			line(in.Bytes())
		}
		var l struct{ Msg, Callers, Operators string }
		if !said && json.Unmarshal(in.Bytes(), &l) == nil && l.Msg == "serving" {
			said = true
			serving <- [2]string{l.Callers, l.Operators}
		}
		if said && line == nil {
			return nil
		}
	}
	return in.Err()
}

// Stop asks the gateway to end, and returns an error with what it said when it did
// not end well: with another code than 0, only when it was killed half a minute
// later, after a data race, or with a log that could not be read to its end.
func (g *Gateway) Stop() error {
	_ = g.command.Process.Signal(syscall.SIGTERM)
	var killed atomic.Bool
	late := time.AfterFunc(patience, func() { killed.Store(true); _ = g.command.Process.Kill() })
	defer late.Stop()
	g.reading.Wait()
	err := g.command.Wait()
	said := strings.TrimSpace(g.Errors.String())
	switch {
	case killed.Load():
		err = fmt.Errorf("it had to be killed %s after it was asked to end: %w", patience, err)
	case err == nil && strings.Contains(said, "DATA RACE"):
		err = errors.New("a data race")
	}
	if err = errors.Join(err, g.broken); err != nil {
		return fmt.Errorf("%w\n%s", err, said)
	}
	return nil
}
