package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/holdfast-gateway/holdfast/breaker"
	"github.com/holdfast-gateway/holdfast/sim"
)

// The bounds of the flags. They keep every run below a minute, above 200 calls,
// and the arm without Holdfast above enoughFailures.
const (
	minOutage, maxOutage = 6 * time.Second, 24 * time.Second
	minRate, maxRate     = 10, 50
)

// enoughFailures is what the arm without Holdfast must exceed: with fewer the
// outage was none, and surviving it would show nothing.
const enoughFailures = 50

// Config says what is played. A zero field means the default beside it; Out and
// Errs are required.
type Config struct {
	Outage time.Duration // how long the primary refuses, 6s-24s; 20s
	Rate   int           // calls per second in each arm, 10-50; 10
	Seed   uint64        // of prompts, words and moments, not of the circuit's jitter; 0
	Keep   bool          // go on running after the summary until ctx ends
	JSON   bool          // the report on Out as JSON, progress on Errs
	Log    io.Writer     // the gateway's log, as JSON lines; nil: nowhere

	Out, Errs io.Writer
	Version   string // of the binary

	timing   *timing // nil: standardTiming; tests have less time
	noBackup bool    // a gateway that cannot protect, so that tests see the demo fail
}

// timing is how long each part of the play takes.
type timing struct {
	healthy  time.Duration // before the outage
	recovery time.Duration // after it, at most
	settle   time.Duration // after the primary should have its share back
	limit    time.Duration // everything together; calls under way are cut
	breaker  breaker.Config
}

// standardTiming leaves the gateway all its defaults. An open circuit is probed
// within 15 s and gives the share back in 8 s, so 25 s are enough to recover.
func standardTiming() timing {
	return timing{healthy: 8 * time.Second, recovery: 25 * time.Second, settle: time.Second, limit: 58 * time.Second}
}

// ErrInterrupted is returned by Run when ctx ended before the play did.
var ErrInterrupted = errors.New("demo: interrupted")

// Failure is returned by Run when the play went to its end and did not show what
// it should.
type Failure struct {
	Why string // sentences for people
}

func (f *Failure) Error() string { return "the demo failed: " + f.Why }

// Validate reports everything that is wrong with c, not only the first thing.
func (c Config) Validate() error {
	c = c.withDefaults()
	var errs []error
	if c.Outage < minOutage || c.Outage > maxOutage {
		errs = append(errs, fmt.Errorf("outage: %s is not within %s-%s", c.Outage, minOutage, maxOutage))
	}
	if c.Rate < minRate || c.Rate > maxRate {
		errs = append(errs, fmt.Errorf("rate: %d is not within %d-%d", c.Rate, minRate, maxRate))
	}
	return errors.Join(errs...)
}

func (c Config) withDefaults() Config {
	if c.Outage == 0 {
		c.Outage = 20 * time.Second
	}
	if c.Rate == 0 {
		c.Rate = 10
	}
	if c.timing == nil {
		standard := standardTiming()
		c.timing = &standard
	}
	return c
}

// Run plays the demo, shows it while it runs and reports it. It takes less than a
// minute, whatever happens, and nothing it started runs on when it returns. With
// c.Keep it then leaves gateway and providers running until ctx ends. It returns
// nil when the arm with Holdfast had no failure, the other one more than 50, and
// all numbers agree; a *Failure when not; ErrInterrupted when ctx ended first; or
// why it could not start.
func Run(ctx context.Context, c Config) error {
	if c.timing == nil { // tests go below the bounds that keep a demo convincing
		if err := c.Validate(); err != nil {
			return err
		}
	}
	c = c.withDefaults()
	s, err := open(ctx, c)
	if err != nil {
		return err
	}
	defer s.close(ctx)

	live := newLive(c)
	live.begin(s)
	p := newPlay(c, s)
	if err := p.run(ctx, live); err != nil {
		return err
	}
	r := p.report(ctx)
	if err := publish(c, s, r); err != nil {
		return err
	}
	if c.Keep {
		<-ctx.Done()
	}
	if !r.OK {
		return &Failure{r.Why}
	}
	return nil
}

// publish prints the report, and with c.Keep how to go on.
func publish(c Config, s *stage, r Report) error {
	if c.JSON {
		encoder := json.NewEncoder(c.Out)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(r); err != nil {
			return fmt.Errorf("the report cannot be written: %w", err)
		}
	} else if err := writeSummary(c.Out, r); err != nil {
		return fmt.Errorf("the summary cannot be written: %w", err)
	}
	if c.Keep {
		writeInvitation(c.progress(), s)
	}
	return nil
}

// progress is where people watch.
func (c Config) progress() io.Writer {
	if c.JSON {
		return c.Errs
	}
	return c.Out
}

// dials are the waits of a small, quick model: the first token after 80 ms, then
// one every 15 ms, 20 in all.
func dials(seed uint64, fault string) sim.Dials {
	return sim.Dials{
		HeaderDelay: 30 * time.Millisecond, FirstTokenDelay: 50 * time.Millisecond, TokenInterval: 15 * time.Millisecond,
		OutputTokens: 20, Seed: seed, Fault: fault,
	}
}
