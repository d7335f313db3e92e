package demo

import (
	"context"
	"sync"
	"time"
)

// tempest is one run of a storm.
type tempest struct {
	config        Storm
	arrivals      []time.Duration
	with, without *crowd
	began         time.Time
}

func newTempest(c Storm, s *stage) *tempest {
	patience := c.weather.patience
	return &tempest{
		config: c, arrivals: c.weather.arrivals(c.Seed),
		with:    &crowd{arm: newArm(s.gatewayURL()), patience: patience},
		without: &crowd{arm: newArm(s.alone.url), patience: patience},
	}
}

// run sends the same calls in both arms and shows each second when it is over. It
// returns ErrInterrupted when ctx ended first. At the end it cuts the calls under
// way: those that are judged have ended.
func (p *tempest) run(ctx context.Context, show *stormLive) error {
	calls, cut := context.WithCancel(ctx)
	defer cut()
	defer p.with.arm.close()
	defer p.without.arm.close()
	p.began = time.Now()
	p.with.began, p.without.began = p.began, p.began
	var running sync.WaitGroup
	running.Go(func() { p.blow(calls, &running) })
	p.watch(ctx, show)
	cut()
	running.Wait()
	if ctx.Err() != nil {
		return ErrInterrupted
	}
	return nil
}

// blow begins every call at its moment, until ctx ends.
func (p *tempest) blow(ctx context.Context, running *sync.WaitGroup) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for n, at := range p.arrivals {
		timer.Reset(time.Until(p.began.Add(at)))
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		for _, c := range []*crowd{p.with, p.without} {
			running.Go(func() { c.call(ctx, at, ask{n: n, dialect: chat, seed: p.config.Seed}) })
		}
	}
}

// watch shows every second until the storm is over or ctx ends.
func (p *tempest) watch(ctx context.Context, show *stormLive) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	whole := int(p.config.weather.lasts() / time.Second)
	for n := range whole {
		timer.Reset(time.Until(p.began.Add(time.Duration(n+1) * time.Second)))
		select {
		case <-timer.C:
			show.second(p.second(n))
		case <-ctx.Done():
			return
		}
	}
	timer.Reset(time.Until(p.began.Add(p.config.weather.lasts())))
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// Second is one second of a storm.
type Second struct {
	Second  int    `json:"second"` // 1, 2, 3 ...
	Spell   string `json:"spell"`  // calm, burst or after
	Offered int    `json:"offered"`
	With    int    `json:"good_with"` // good answers in this second
	Without int    `json:"good_without"`
}

// second counts the n-th second, from 0, when it is over.
func (p *tempest) second(n int) Second {
	from := time.Duration(n) * time.Second
	w := p.config.weather
	s := Second{Second: n + 1, Spell: w.spells[w.at(from)].name}
	for _, at := range p.arrivals {
		if within(at, from, time.Second) {
			s.Offered++
		}
	}
	s.With, s.Without = p.with.answered(from, time.Second), p.without.answered(from, time.Second)
	return s
}

func within(at, from, lasts time.Duration) bool { return from <= at && at < from+lasts }

// crowd are the callers of one arm. Each gives a try its patience, and after a
// failure tries again at once.
type crowd struct {
	arm      *arm
	patience time.Duration
	began    time.Time

	mu    sync.Mutex
	calls []tried
}

// tried is one call that has ended, in times from the beginning.
type tried struct {
	began, ended time.Duration
	tries        int
	good         bool
}

// call tries until there is a whole answer, three times at most.
func (c *crowd) call(ctx context.Context, began time.Duration, what ask) {
	one := tried{began: began}
	for one.tries < tries && !one.good && ctx.Err() == nil {
		one.tries++
		one.good = c.try(ctx, what)
	}
	one.ended = time.Since(c.began)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = append(c.calls, one)
}

func (c *crowd) try(ctx context.Context, what ask) bool {
	ctx, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	_, failure := c.arm.exchange(ctx, what)
	return failure == ""
}

// answered counts the good answers that came in a time.
func (c *crowd) answered(from, lasts time.Duration) (good int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range c.calls {
		if one.good && within(one.ended, from, lasts) {
			good++
		}
	}
	return good
}

// begun counts the calls that began in a time and have ended, those of them that
// were good, and their tries.
func (c *crowd) begun(from, lasts time.Duration) Share {
	c.mu.Lock()
	defer c.mu.Unlock()
	var s Share
	for _, one := range c.calls {
		if !within(one.began, from, lasts) {
			continue
		}
		s.Calls++
		s.Tries += one.tries
		if one.good {
			s.Good++
		}
	}
	return s
}
