package demo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// StormReport is what a storm showed, as --json prints it. Times are in seconds.
type StormReport struct {
	OK       bool    `json:"ok"`
	Why      string  `json:"why,omitempty"` // what is not as it should be
	Version  string  `json:"version"`
	Seed     uint64  `json:"seed"`
	Took     float64 `json:"seconds"`
	Capacity int     `json:"capacity"`           // calls that an engine answers in a second
	Patience float64 `json:"patience_seconds"`   // of a try
	Tries    int     `json:"tries"`              // of a call, at most
	Window   float64 `json:"window_seconds"`     // from the end of the burst
	Burst    Arms    `json:"burst"`              // calls begun in the burst
	After    Arms    `json:"window_after_burst"` // calls begun in the window

	Timeline []Second `json:"timeline"`
}

// Arms are the same calls with Holdfast and without.
type Arms struct {
	With    Share `json:"with"`
	Without Share `json:"without"`
}

// Share is what became of some calls.
type Share struct {
	Calls int `json:"calls"`
	Good  int `json:"good"` // answered whole, in time, by any try
	Tries int `json:"tries"`
}

// part is the good part, 0-1; 0 without calls.
func (s Share) part() float64 { return float64(s.Good) / float64(max(s.Calls, 1)) }

func (s Share) String() string {
	return fmt.Sprintf("%d of %d (%.1f %%)", s.Good, s.Calls, 100*s.part())
}

// What the window after the burst must show.
const enoughWith, tooManyWithout = 0.95, 0.5

// report tells what the storm showed, once it is over.
func (p *tempest) report() StormReport {
	w := p.config.weather
	arms := func(from, lasts time.Duration) Arms {
		return Arms{With: p.with.begun(from, lasts), Without: p.without.begun(from, lasts)}
	}
	r := StormReport{
		Version: p.config.Version, Seed: p.config.Seed, Took: seconds(time.Since(p.began)),
		Capacity: perSecond, Patience: w.patience.Seconds(), Tries: tries, Window: w.window.Seconds(),
		Burst: arms(w.ends(0), w.spells[1].lasts), After: arms(w.ends(1), w.window),
	}
	for n := range int(w.lasts() / time.Second) {
		r.Timeline = append(r.Timeline, p.second(n))
	}
	r.Why = r.verdict()
	r.OK = r.Why == ""
	return r
}

// verdict says what is not as it should be; "" if nothing is.
func (r *StormReport) verdict() string {
	var why []string
	if r.After.With.part() < enoughWith {
		why = append(why, fmt.Sprintf("After the burst only %s calls with Holdfast were good, want %.0f %%.", r.After.With, 100*enoughWith))
	}
	if r.After.Without.part() >= tooManyWithout {
		why = append(why, fmt.Sprintf("After the burst %s calls without Holdfast were good, want fewer than %.0f %%: there was no collapse to prevent.", r.After.Without, 100*tooManyWithout))
	}
	return strings.Join(why, " ")
}

func (c Storm) publish(r StormReport) error {
	if !c.JSON {
		if err := writeStormSummary(c.Out, r); err != nil {
			return fmt.Errorf("the summary cannot be written: %w", err)
		}
		return nil
	}
	encoder := json.NewEncoder(c.Out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(r); err != nil {
		return fmt.Errorf("the report cannot be written: %w", err)
	}
	return nil
}

// writeStormSummary prints a report for people, 80 columns wide at most.
func writeStormSummary(w io.Writer, r StormReport) error {
	var b bytes.Buffer
	row := func(name, with, without string) { fmt.Fprintf(&b, "%-34s %20s %20s\n", name, with, without) }
	b.WriteByte('\n')
	row("", "with Holdfast", "without Holdfast")
	b.WriteString(strings.Repeat("-", 76) + "\n")
	row("good, begun in the burst", r.Burst.With.String(), r.Burst.Without.String())
	row(fmt.Sprintf("good, begun in the %.0f s after it", r.Window), r.After.With.String(), r.After.Without.String())
	row("  tries for these", fmt.Sprint(r.After.With.Tries), fmt.Sprint(r.After.Without.Tries))
	b.WriteByte('\n')
	wrapped(&b, "", r.conclusion())
	_, err := w.Write(b.Bytes())
	return err
}

func (r StormReport) conclusion() string {
	if !r.OK {
		return "NOT AS IT SHOULD BE: " + r.Why
	}
	return fmt.Sprintf("When the burst was over, with Holdfast it was over: %.1f %% of the next %d calls were good; without it the engine went on working for callers who had left, and %.1f %% were.",
		100*r.After.With.part(), r.After.With.Calls, 100*r.After.Without.part())
}

// stormLive writes a line per second, and one where the load changes.
type stormLive struct {
	config Storm
	w      io.Writer
	colour bool
	spell  string
}

func newStormLive(c Storm) *stormLive {
	w := c.progress()
	_, terminal := terminalWidth(w)
	return &stormLive{config: c, w: w, colour: terminal && os.Getenv("TERM") != "dumb" && os.Getenv("NO_COLOR") == ""}
}

func (l *stormLive) begin(s *stage) {
	patience := l.config.weather.patience
	var b bytes.Buffer
	fmt.Fprintf(&b, `Holdfast demo: a burst that is over when it is over. No key, no network.

  gateway    %s
  operators  %s
  engine     %s, behind the gateway
  engine     %s, without one

`, s.gatewayURL(), s.adminURL(), s.primary.url, s.alone.url)
	wrapped(&b, "", fmt.Sprintf("An engine answers %d calls a second and works on for callers who have left. Those wait %s for an answer and "+
		"try twice more at once. Two groups send the same calls: one through the gateway, which sends its engine no more than %d at once "+
		"and lets nobody wait longer than %s, the other straight to an engine of its own.", perSecond, patience, slots, patience/2))
	fmt.Fprintf(&b, "\n%6s %8s  %-*s  %s\n", "second", "offered", longestBar+5, "good with Holdfast", "good without")
	_, _ = l.w.Write(b.Bytes()) // a terminal that went away ends the process
}

// second shows one second that is over.
func (l *stormLive) second(s Second) {
	if s.Spell != l.spell {
		l.spell = s.Spell
		fmt.Fprintln(l.w, l.title(s))
	}
	with, without := fmt.Sprintf("%-*s", longestBar, bar(s.With)), bar(s.Without)
	line := fmt.Sprintf("%6d %8d  %4d %s  %4d %s", s.Second, s.Offered, s.With, l.painted(green, with), s.Without, l.painted(red, without))
	fmt.Fprintln(l.w, strings.TrimRight(line, " "))
}

func (l *stormLive) title(s Second) string {
	for _, one := range l.config.weather.spells {
		if one.name == s.Spell {
			return l.painted(bold, fmt.Sprintf("%s: %.0f calls a second of the %d that the engine can answer", strings.ToUpper(one.name), one.rate, perSecond))
		}
	}
	return strings.ToUpper(s.Spell)
}

// longestBar is how many columns a bar has, perSign what one of them stands for.
const longestBar, perSign = 20, 4

func bar(n int) string {
	return strings.Repeat("#", min(longestBar, (n+perSign-1)/perSign))
}

func (l *stormLive) painted(colour, text string) string {
	if !l.colour || text == "" {
		return text
	}
	return colour + text + reset
}
