package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-gateway/holdfast/gateway/admin"
)

// The paces of status --watch: not more often than people can read, and not
// less often than times count down.
const (
	fastest = 250 * time.Millisecond
	slowest = 2 * time.Second
)

func (p *program) status() *cobra.Command {
	var asJSON, watch bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Show the routes, targets and recent failures of a running gateway",
		Long: "Ask a running gateway how its routes, circuits and waiting rooms are, and what failed last. On a terminal\n" +
			"it fits the screen: what does not is counted. NO_COLOR takes the colours away." + aboutOperators,
		Example: "  holdfast status --watch",
		Args:    cobra.NoArgs,
	}
	o := askedBy(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().BoolVar(&watch, "watch", false, "draw again as things happen, until interrupted")
	c.RunE = func(c *cobra.Command, _ []string) error {
		show := p.statusShower(asJSON, watch)
		if watch {
			return p.watch(c.Context(), o, show)
		}
		raw, err := o.get(c.Context(), "/api/v1/status")
		if err != nil {
			return err
		}
		return show(o, raw)
	}
	return c
}

// statusShower returns what prints a status.
func (p *program) statusShower(asJSON, again bool) func(*operator, []byte) error {
	s := screen{}
	begin := ""
	if isTerminal(p.out) {
		s = terminalScreen()
	}
	switch {
	case again && s.height > 0:
		begin = "\x1b[H\x1b[2J" // the upper left corner of an empty screen
	case again && asJSON:
		return func(_ *operator, raw []byte) error { return p.oneLine(raw) }
	}
	drawn := false
	return func(o *operator, raw []byte) error {
		return answer(p, o, raw, asJSON, func(status admin.Status) error {
			if drawn && begin == "" {
				begin = "\n" // between two pictures
			}
			drawn = true
			_, err := fmt.Fprint(p.out, begin, s.draw(status, time.Now()))
			return err
		})
	}
}

// oneLine prints JSON on one line.
func (p *program) oneLine(raw []byte) error {
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		return exit{exitFailed, err}
	}
	_, err := fmt.Fprintln(p.out, b.String())
	return err
}

// watch shows the status whenever something has happened, until an interrupt.
func (p *program) watch(parent context.Context, o *operator, show func(*operator, []byte) error) error {
	ctx, stop := signal.NotifyContext(parent, os.Interrupt, syscall.SIGTERM)
	defer stop()
	happened := make(chan struct{}, 1)
	ended := make(chan error, 1)
	following, leave := context.WithCancel(ctx)
	go func() { // ends when left
		ended <- followEvents(following, o, "", true, func(event) error {
			select {
			case happened <- struct{}{}:
			default: // the next picture shows this one too
			}
			return nil
		})
	}()
	err := redraw(ctx, o, happened, ended, show)
	leave()
	if ctx.Err() != nil {
		return exit{code: exitInterrupted}
	}
	return err
}

// redraw shows the status again and again.
func redraw(ctx context.Context, o *operator, happened <-chan struct{}, ended <-chan error, show func(*operator, []byte) error) error {
	for {
		raw, err := o.get(ctx, "/api/v1/status")
		if err == nil {
			err = show(o, raw)
		}
		if err != nil {
			return err
		}
		drawn := time.Now()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-ended:
			return errors.Join(err, ctx.Err())
		case <-happened:
		case <-time.After(slowest):
		}
		if !rest(ctx, fastest-time.Since(drawn)) {
			return ctx.Err()
		}
	}
}

// rest waits; false when the context ended first.
func rest(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
