package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// stage is one phase of load and the figures it gives.
type stage struct {
	name   string
	weight float64 // its window, in units of -time
	load   func(round int) func(*load)
	read   func(t *tally) map[string]float64
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

func stages() []stage {
	return []stage{
		{"closed loop of 64", 1, always(closedLoop(64)), func(t *tally) map[string]float64 {
			return map[string]float64{cpuClosed: perUnit(t), maxRate: perSecond(t)}
		}},
		{"500/s", 1.5, func(round int) func(*load) { return openLoop(500, uint64(round)) }, func(t *tally) map[string]float64 {
			return map[string]float64{cpu500: perUnit(t), p50At500: micros(percentile(t.Delays, 0.5)), p99At500: micros(percentile(t.Delays, 0.99))}
		}},
		{"2,000/s", 1, func(round int) func(*load) { return openLoop(2000, uint64(round)) }, func(t *tally) map[string]float64 {
			return map[string]float64{cpu2000: perUnit(t), p50At2000: micros(percentile(t.Delays, 0.5)), p99At2000: micros(percentile(t.Delays, 0.99))}
		}},
		{"200 streams", 1, always(liveStreams(200, livePlan)), func(t *tally) map[string]float64 {
			return map[string]float64{cpuEvent: perUnit(t), delay50: micros(percentile(t.Delays, 0.5)), delay99: micros(percentile(t.Delays, 0.99))}
		}},
		{"streams of 67 events", 1, always(streamLoop(64, streamPlan{events: 67})), func(t *tally) map[string]float64 {
			return map[string]float64{cpuStream: perUnit(t), streamRate: perSecond(t)}
		}},
	}
}

// livePlan is 100 events in two seconds.
var livePlan = streamPlan{events: 100, pause: 20 * time.Millisecond}

func always(phase func(*load)) func(int) func(*load) {
	return func(int) func(*load) { return phase }
}

// perUnit is the CPU time per answer, event or stream, in microseconds.
func perUnit(t *tally) float64 { return micros(t.CPU) / float64(max(t.Counted, 1)) }

func perSecond(t *tally) float64 { return float64(t.Counted) / t.Window.Seconds() }

// results is what a run found: the raw data that the page is made of.
type results struct {
	Machine  machine       `json:"machine"`
	Rounds   int           `json:"rounds"`
	Window   string        `json:"window"`
	Samples  samples       `json:"-"` // a file of their own
	Policies []policyRound `json:"policies"`
	Notes    []string      `json:"notes"` // what was skipped or failed, and why
}

func (r *results) add(round int, system string, values map[string]float64) {
	for _, f := range figures {
		if v, ok := values[f.ID]; ok {
			r.Samples = append(r.Samples, sample{round, system, f.ID, v})
		}
	}
}

func (r *results) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !slices.Contains(r.Notes, text) {
		r.Notes = append(r.Notes, text)
	}
}

// full measures everything of every system that can be had here.
func (b *bench) full(ctx context.Context) (*results, error) {
	if err := b.buildPolicies(); err != nil {
		return nil, err
	}
	found := &results{Rounds: b.rounds, Window: b.window.String()}
	systems := b.available(ctx, found)
	found.Machine = describe(ctx, b.root, systems)
	b.sizes(systems, found)
	begin := time.Now()
	for round := 1; round <= b.rounds; round++ {
		b.say("round %d of %d, %s so far", round, b.rounds, time.Since(begin).Round(time.Second))
		if err := b.round(ctx, round, rotated(systems, round), found); err != nil {
			return nil, err
		}
	}
	b.say("policies without a wire, %d rounds", b.rounds)
	var err error
	found.Policies, err = b.measurePolicies(ctx)
	return found, err
}

// round starts every system, and puts each stage on all of them before the next
// stage begins, so that what is compared lies seconds apart.
func (b *bench) round(ctx context.Context, round int, systems []peer, found *results) error {
	started := map[string]*running{}
	defer stopAll(started)
	for _, p := range systems {
		r, err := p.start(b.dir, b.bin, b.upstream, false)
		if err != nil {
			found.note("%s: %v", title(p.name), err)
			continue
		}
		started[p.name] = r
		if r.process != nil {
			found.add(round, p.name, map[string]float64{coldStart: float64(r.coldStart.Microseconds()) / 1e3})
		}
	}
	for _, r := range started {
		if err := r.warmUp(ctx); err != nil {
			found.note("%s, warming up: %v", title(r.peer.name), err)
		}
	}
	for i, s := range stages() {
		for _, p := range rotated(systems, i) {
			if r := started[p.name]; r != nil {
				if err := b.stage(ctx, round, s, r, found); err != nil {
					return err
				}
			}
		}
	}
	added(round, found)
	stopAll(started)
	if round > b.memoryRounds {
		return nil
	}
	for _, p := range systems {
		if err := b.memory(ctx, round, p, found); err != nil {
			return err
		}
	}
	return nil
}

// warmUp lets a system that compiles while it runs do so: its first requests
// after a start cost several times the later ones, and that is not what people
// who run it for weeks pay.
func (r *running) warmUp(ctx context.Context) error {
	if !r.peer.compiles {
		return nil
	}
	for _, phase := range []func(*load){closedLoop(64), streamLoop(64, streamPlan{events: 67})} {
		if _, err := measure(ctx, r.subject, 0, 2*time.Second, phase); err != nil {
			return err
		}
	}
	settle(r.process)
	return nil
}

// stage measures one stage of one system. A system that fails it has no figure
// there and a note on the page; only the end of the run is an error.
func (b *bench) stage(ctx context.Context, round int, s stage, r *running, found *results) error {
	window := time.Duration(float64(b.window) * s.weight)
	t, err := measure(ctx, r.subject, b.warm, window, s.load(round))
	settle(r.process)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		found.note("%s, %s, round %d: %v", title(r.peer.name), s.name, round, err)
		b.say("  %-22s %-13s failed: %v", s.name, r.peer.name, err)
		return nil
	}
	values := s.read(t)
	if r.process == nil { // nobody's CPU: there is no proxy
		delete(values, cpuClosed)
		delete(values, cpu500)
		delete(values, cpu2000)
		delete(values, cpuEvent)
		delete(values, cpuStream)
	}
	found.add(round, r.peer.name, values)
	b.say("  %-22s %-13s %s", s.name, r.peer.name, shown(values))
	return nil
}

// shown writes values in one line, in the order of the page.
func shown(values map[string]float64) string {
	var parts []string
	for _, f := range figures {
		if v, ok := values[f.ID]; ok {
			parts = append(parts, fmt.Sprintf("%s %.*f", f.ID, f.Digits, v))
		}
	}
	return strings.Join(parts, "  ")
}

// added takes the delays without a proxy off those with one, in this round.
func added(round int, found *results) {
	for with, from := range map[string]string{added50500: p50At500, added99500: p99At500, added50: p50At2000, added99: p99At2000} {
		bare, ok := found.Samples.of(direct, from)[round]
		if !ok {
			continue
		}
		for _, p := range peers() {
			if v, ok := found.Samples.of(p.name, from)[round]; ok && p.name != direct {
				found.add(round, p.name, map[string]float64{with: v - bare})
			}
		}
	}
}

// settle waits until a process has done what it was asked, three seconds at
// most: a queue that is worked off must not cost the next system.
func settle(p *process) {
	const look, quiet = 50 * time.Millisecond, 10 * time.Millisecond
	if p == nil {
		return
	}
	before, err := p.cpu()
	for until := time.Now().Add(3 * time.Second); err == nil && time.Now().Before(until); {
		time.Sleep(look)
		var now time.Duration
		if now, err = p.cpu(); now-before < quiet {
			return
		}
		before = now
	}
}

// memory opens streams to a process of its own and looks at how it grew.
func (b *bench) memory(ctx context.Context, round int, p peer, found *results) error {
	if p.command == nil {
		return nil
	}
	r, err := p.start(b.dir, b.bin, b.upstream, false)
	if err != nil {
		found.note("%s: %v", title(p.name), err)
		return nil
	}
	defer r.process.stop()
	values, err := r.grow(ctx, []int{1000, 5000})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		found.note("%s, memory, round %d: %v", title(p.name), round, err)
	}
	found.add(round, p.name, values)
	b.say("  %-22s %-13s %s", "memory", p.name, shown(values))
	return nil
}

// rotated is a copy of all that begins somewhere else.
func rotated(all []peer, by int) []peer {
	by %= max(len(all), 1)
	return slices.Concat(all[by:], all[:by])
}

// sizes notes how large the programs are.
func (b *bench) sizes(systems []peer, found *results) {
	for _, p := range systems {
		if p.program == nil {
			continue
		}
		if size, err := sizeOf(p.program(b.bin)); err == nil {
			found.add(1, p.name, map[string]float64{binarySize: float64(size) / 1e6})
		}
	}
}

// sizeOf is the size of a file, or of all files below a folder.
func sizeOf(path string) (int64, error) {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return 0, err
	}
	var sum int64
	err = filepath.WalkDir(path, func(_ string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			sum += info.Size()
		}
		return err
	})
	return sum, err
}

// available leaves out what is not installed here and cannot be, and says so.
func (b *bench) available(ctx context.Context, found *results) []peer {
	var systems []peer
	for _, p := range peers() {
		if len(b.only) > 0 && !slices.Contains(b.only, p.name) {
			continue
		}
		if p.install != nil {
			if err := p.install(ctx); err != nil {
				found.note("%s was skipped: %v", title(p.name), err)
				b.say("skip %s: %v", p.name, err)
				continue
			}
		}
		systems = append(systems, p)
	}
	return systems
}

var errNotHere = errors.New("not installed, and only root on Debian can install it")
