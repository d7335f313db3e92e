package demo

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/holdfast-gateway/holdfast/breaker"
)

// phase is a part of the play.
type phase int

const (
	healthy phase = iota
	outage
	recovery
)

func (p phase) String() string { return [...]string{"healthy", "outage", "recovery"}[p] }

// play is one run of the demo.
type play struct {
	config             Config
	stage              *stage
	protected, without *arm
	ramp               time.Duration // a closed circuit has its whole share back after this

	began, broken, repaired, ended time.Time // broken and repaired: the outage
	settled                        bool      // the primary had time to get its share back
}

func newPlay(c Config, s *stage) *play {
	return &play{
		config: c, stage: s, protected: newArm(s.gatewayURL()), without: newArm(s.alone.url),
		ramp: max(0, c.timing.breaker.WithDefaults().Ramp),
	}
}

// tick is how often the play looks at itself and is shown.
const tick = 200 * time.Millisecond

// run plays, telling live how it stands. It returns ErrInterrupted when ctx
// ended first.
func (p *play) run(ctx context.Context, live live) error {
	calls, cut := context.WithTimeout(ctx, p.config.timing.limit)
	defer cut()
	until := make(chan struct{})
	var running sync.WaitGroup
	p.began = time.Now()
	running.Go(func() { traffic(calls, until, p.config.Rate, p.config.Seed, p.protected, p.without) })
	defer p.without.close()
	defer p.protected.close()

	err := p.direct(calls, live)
	close(until)
	running.Wait() // at once when ctx has ended: calls ends with it
	p.ended = time.Now()
	switch {
	case ctx.Err() != nil:
		return ErrInterrupted
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the demo did not end within %s", p.config.timing.limit)
	case err != nil:
		return err
	}
	live.show(p.view(recovery))
	return nil
}

// direct goes through the phases.
func (p *play) direct(ctx context.Context, live live) error {
	t := p.config.timing
	if err := p.during(ctx, live, healthy, t.healthy, never); err != nil {
		return err
	}
	p.broken = time.Now()
	if err := p.stage.outage(p.config.Seed, "503"); err != nil {
		return fmt.Errorf("the outage cannot begin: %w", err)
	}
	if err := p.during(ctx, live, outage, p.config.Outage, never); err != nil {
		return err
	}
	if err := p.stage.outage(p.config.Seed, ""); err != nil {
		return fmt.Errorf("the outage cannot end: %w", err)
	}
	p.repaired = time.Now()
	return p.during(ctx, live, recovery, t.recovery, p.recovered)
}

func never() bool { return false }

// during lets the play go on for a time, or until enough. It returns an error
// when ctx ended first.
func (p *play) during(ctx context.Context, live live, now phase, lasts time.Duration, enough func() bool) error {
	end := time.NewTimer(lasts)
	defer end.Stop()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for !enough() {
		live.show(p.view(now))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-end.C:
			return nil
		case <-ticker.C:
		}
	}
	return nil
}

// recovered reports whether the primary should have had everything back for a
// little while: from then on there is nothing more to see. Without an opening
// there is nothing to wait for but a moment of health.
func (p *play) recovered() bool {
	since := p.repaired
	if list := p.stage.moves.of(primaryName); len(list) > 0 {
		if list[len(list)-1].to != breaker.Closed.String() {
			return false
		}
		since = later(since, list[len(list)-1].at.Add(p.ramp))
	}
	p.settled = time.Since(since) >= p.config.timing.settle
	return p.settled
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// view is how the play stands at one moment.
type view struct {
	phase       phase
	since       time.Duration // from the beginning of the play
	past, lasts time.Duration // of the phase
	protected   tally
	without     tally
	circuit     string // of the primary
	moves       []move // of the primary's circuit
	began       time.Time
	primary     int // attempts that the primary saw
	refused     int // of these answered with 503
	backup      int
}

func (p *play) view(now phase) view {
	v := view{
		phase: now, since: time.Since(p.began), began: p.began,
		circuit: p.stage.moves.state(primaryName), moves: p.stage.moves.of(primaryName),
		primary: p.stage.primary.Counts().Calls, refused: p.stage.primary.Counts().ByStatus[503], backup: p.stage.backup.Counts().Calls,
	}
	switch now {
	case healthy:
		v.past, v.lasts = v.since, p.config.timing.healthy
	case outage:
		v.past, v.lasts = time.Since(p.broken), p.config.Outage
	case recovery:
		v.past, v.lasts = time.Since(p.repaired), p.config.timing.recovery
	}
	v.protected, v.without = tallyOf(p.protected, p.began), tallyOf(p.without, p.began)
	return v
}

// tally is one arm, counted for the screen.
type tally struct {
	calls, failed int
	health        string // a sign per second: "." all well, "x" some failed, "X" all failed
	who           string // a sign per second: "P" primary, "B" backup, "+" both
}

func tallyOf(a *arm, began time.Time) tally {
	started, results := a.seen()
	t := tally{calls: started}
	var seconds []second
	for _, r := range results {
		at := int(r.began.Sub(began) / time.Second)
		for len(seconds) <= at {
			seconds = append(seconds, second{})
		}
		seconds[at].add(r)
		if r.failure != "" {
			t.failed++
		}
	}
	for _, s := range seconds {
		t.health += s.health()
		t.who += s.who()
	}
	return t
}

// second is what became of the calls that began in one second.
type second struct{ good, bad, primary, backup int }

func (s *second) add(r result) {
	if r.failure != "" {
		s.bad++
		return
	}
	s.good++
	switch r.provider {
	case primaryName:
		s.primary++
	case backupName:
		s.backup++
	}
}

func (s second) health() string {
	switch {
	case s.good+s.bad == 0:
		return " "
	case s.bad == 0:
		return "."
	case s.good == 0:
		return "X"
	}
	return "x"
}

func (s second) who() string {
	switch {
	case s.primary+s.backup == 0:
		return " "
	case s.backup == 0:
		return "P"
	case s.primary == 0:
		return "B"
	}
	return "+"
}
