package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/holdfast-gateway/holdfast/gateway/explain"
)

// event is one event of the gateway's stream.
type event struct {
	id, kind string
	data     []byte
}

func (p *program) events() *cobra.Command {
	var follow, asJSON bool
	var kinds []string
	c := &cobra.Command{
		Use:   "events",
		Short: "Show what happened in a running gateway",
		Long: "Show the last events of a running gateway: calls and attempts that ended, circuits that moved, keys that\n" +
			"rest, and why. With --follow go on as things happen, until interrupted; a broken connection is taken up\n" +
			"where it broke." + aboutOperators,
		Example: "  holdfast events --follow --kind breaker_moved,key_ejected",
		Args:    cobra.NoArgs,
	}
	o := askedBy(c)
	c.Flags().BoolVar(&follow, "follow", false, "go on until interrupted")
	c.Flags().StringSliceVar(&kinds, "kind", nil, "only events of these `kinds`")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON, one event a line")
	c.RunE = func(c *cobra.Command, _ []string) error {
		ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		err := followEvents(ctx, o, "oldest", follow, func(e event) error {
			if len(kinds) > 0 && !slices.Contains(kinds, e.kind) {
				return nil
			}
			return p.showEvent(e, asJSON)
		})
		if ctx.Err() != nil {
			return exit{code: exitInterrupted}
		}
		return err
	}
	return c
}

// followEvents tells events after the one of an id, "" from now on. It takes a
// broken stream up again, until the context ends or the gateway is away.
func followEvents(ctx context.Context, o *operator, last string, follow bool, tell func(event) error) error {
	for {
		header := http.Header{}
		if last != "" {
			header.Set("Last-Event-ID", last)
		}
		resp, err := o.send(ctx, http.MethodGet, fmt.Sprintf("/api/v1/events?follow=%t", follow), nil, header)
		if err != nil {
			return err
		}
		err = readEvents(resp, func(e event) error {
			if e.id != "" {
				last = e.id
			}
			return tell(e)
		})
		_ = resp.Body.Close()
		if err != nil || !follow || ctx.Err() != nil {
			return err
		}
		if !rest(ctx, fastest) {
			return nil
		}
	}
}

// readEvents reads a stream to its end, however it ends.
func readEvents(resp *http.Response, tell func(event) error) error {
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	var e event
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "id":
			e.id = value
		case "event":
			e.kind = value
		case "data":
			e.data = []byte(value)
		}
		if lines.Text() != "" {
			continue
		}
		if e.data != nil {
			if err := tell(e); err != nil {
				return err
			}
		}
		e = event{}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return exit{exitFailed, lines.Err()}
	}
	return nil
}

func (p *program) showEvent(e event, asJSON bool) error {
	if asJSON {
		_, err := fmt.Fprintf(p.out, "%s\n", e.data)
		return err
	}
	if e.kind == "gap" {
		var gap struct{ Missed uint64 }
		_ = json.Unmarshal(e.data, &gap) // 0 is as good as nothing
		_, err := fmt.Fprintf(p.out, "... %d events were forgotten\n", gap.Missed)
		return err
	}
	var l explain.Live
	if err := json.Unmarshal(e.data, &l); err != nil {
		return exit{exitFailed, fmt.Errorf("an event is not JSON: %w", err)}
	}
	_, err := fmt.Fprintln(p.out, printable(happening(l)))
	return err
}

// happening is an event in one line.
func happening(l explain.Live) string {
	moved := ""
	if l.From != "" || l.To != "" {
		moved = l.From + " -> " + l.To
	}
	number, status, wait, took := "", "", "", ""
	if l.Attempt > 0 {
		number = fmt.Sprintf("attempt %d", l.Attempt)
		if l.Kind == "call_ended" {
			number = counted(l.Attempt, "attempt")
		}
	}
	if l.Status > 0 {
		status = fmt.Sprint(l.Status)
	}
	if l.WaitMS > 0 {
		wait = "for " + span(l.WaitMS)
	}
	if l.Duration > 0 {
		took = "in " + span(l.Duration)
	}
	reason := l.Reason
	if reason != "" {
		reason = "(" + reason + ")"
	}
	return listed("  ", l.At.Local().Format("15:04:05.000"), l.Kind, l.Request, listed(" ", l.Route, l.Target, l.Key, number, moved, status, l.Class, reason, wait, took))
}
