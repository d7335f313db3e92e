package demo

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"time"

	"github.com/holdfast-gateway/holdfast/admission"
	"github.com/holdfast-gateway/holdfast/concurrency"
	"github.com/holdfast-gateway/holdfast/gateway/config"
	"github.com/holdfast-gateway/holdfast/sim"
)

// Storm says how a burst of impatient callers is played. Out and Errs are
// required.
type Storm struct {
	Seed uint64 // of the moments when calls begin, and of words; 0
	JSON bool   // the report on Out as JSON, progress on Errs

	Out, Errs io.Writer
	Version   string // of the binary

	weather *weather // nil: standardWeather; tests have less time
}

// weather is the load of a storm.
type weather struct {
	spells   [3]spell      // calm, burst, after
	patience time.Duration // of each try
	window   time.Duration // from the end of the burst: its calls are judged
}

// spell is a load that holds for a time.
type spell struct {
	name  string
	rate  float64 // new calls per second, on average
	lasts time.Duration
}

// The engine answers perSecond calls a second: slots at once, each for 200 ms.
const (
	slots     = 10
	perSecond = 50
	tries     = 3 // of a caller, one after the other at once
)

// standardWeather is 70 % of what the engine can do, twice as much as it can,
// and 70 % again.
func standardWeather() weather {
	const window = 8 * time.Second
	return weather{
		spells:   [3]spell{{"calm", 35, 5 * time.Second}, {"burst", 100, window}, {"after", 35, 2 * window}},
		patience: 2 * time.Second, window: window,
	}
}

// lasts is how long all spells take together.
func (w weather) lasts() time.Duration { return w.ends(len(w.spells) - 1) }

// ends is when a spell is over.
func (w weather) ends(i int) time.Duration {
	var end time.Duration
	for _, s := range w.spells[:i+1] {
		end += s.lasts
	}
	return end
}

// at is the spell of a moment.
func (w weather) at(moment time.Duration) int {
	for i := range w.spells {
		if moment < w.ends(i) {
			return i
		}
	}
	return len(w.spells) - 1
}

// arrivals are the moments when calls begin, as of callers who know nothing of
// each other.
func (w weather) arrivals(seed uint64) []time.Duration {
	random := rand.New(rand.NewPCG(seed, 1))
	var all []time.Duration
	var from time.Duration
	for _, s := range w.spells {
		for at := from; ; {
			at += time.Duration(random.ExpFloat64() / s.rate * float64(time.Second))
			if at >= from+s.lasts {
				break
			}
			all = append(all, at)
		}
		from += s.lasts
	}
	return all
}

// engine are the dials of a model server that answers perSecond calls a second
// and works on for callers who have left.
func engine(seed uint64, slots int) sim.Dials {
	return sim.Dials{Slots: slots, TokenInterval: 10 * time.Millisecond, OutputTokens: 20, Seed: seed}
}

// RunStorm plays a burst of impatient callers in half a minute, shows it while it
// runs and reports it. Nothing it started runs on when it returns. It returns nil
// when at least 95 % of the calls begun in the first seconds after the burst were
// good with Holdfast, and fewer than 50 % without it; a *Failure when not;
// ErrInterrupted when ctx ended first; or why it could not start.
func RunStorm(ctx context.Context, c Storm) error {
	if c.weather == nil {
		standard := standardWeather()
		c.weather = &standard
	}
	s, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer s.close(ctx)
	defer subside(s)

	p := newTempest(c, s)
	show := newStormLive(c)
	show.begin(s)
	if err := p.run(ctx, show); err != nil {
		return err
	}
	r := p.report()
	if err := c.publish(r); err != nil {
		return err
	}
	if !r.OK {
		return &Failure{r.Why}
	}
	return nil
}

// open starts two engines, and the gateway before one of them.
func (c Storm) open(ctx context.Context) (*stage, error) {
	s := &stage{moves: &moves{}, end: func() {}}
	var err error
	s.primary, err = s.serveProvider(ctx, "engine-sim", engine(c.Seed, slots))
	if err == nil {
		s.alone, err = s.serveProvider(ctx, aloneName, engine(c.Seed, slots))
	}
	if err == nil {
		file := func(main, admin string) *config.File { return c.file(s.primary, main, admin) }
		err = s.serveGateway(ctx, Config{Version: c.Version}, file)
	}
	if err != nil {
		s.close(ctx)
		return nil, fmt.Errorf("the storm cannot begin: %w", err)
	}
	return s, nil
}

// file is what a user would write before an engine: no more calls at once than it
// has slots, and nobody waits longer than leaves time for an answer. All else has
// the defaults of the gateway.
func (c Storm) file(engine *provider, main, admin string) *config.File {
	return &config.File{
		Version: 1, Listen: main, Admin: config.Admin{Listen: admin},
		Concurrency: concurrency.Config{Max: slots}, Queue: admission.Config{MaxWait: c.weather.patience / 2},
		Providers: []config.Provider{{Name: engine.name, Kind: "openai", BaseURL: engine.url, APIKey: "no-secret"}},
		Routes:    []config.Route{{Name: modelName, Targets: []config.Target{{Target: targetOf(engine.name)}}}},
	}
}

// subside gives the engines room for all that they still work on, so that it is
// over in a moment instead of a minute.
func subside(s *stage) {
	limit := time.Now().Add(2 * time.Second)
	for _, p := range []*provider{s.primary, s.alone} {
		_ = p.SetDials(engine(0, math.MaxInt32)) // valid dials
		for p.InFlight() > 0 && time.Now().Before(limit) {
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// progress is where people watch.
func (c Storm) progress() io.Writer {
	if c.JSON {
		return c.Errs
	}
	return c.Out
}
