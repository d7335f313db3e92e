package demo

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// live shows a play while it runs: redrawn on a terminal, line by line elsewhere.
type live interface {
	begin(s *stage)
	show(v view)
}

func newLive(c Config) live {
	w := c.progress()
	head := header{config: c, w: w}
	columns, ok := terminalWidth(w)
	if !ok || os.Getenv("TERM") == "dumb" {
		return &plain{header: head}
	}
	return &screen{header: head, width: func() int {
		if now, ok := terminalWidth(w); ok {
			columns = now
		}
		return columns
	}, colour: os.Getenv("NO_COLOR") == ""}
}

// header is what both say first.
type header struct {
	config Config
	w      io.Writer
}

func (h header) begin(s *stage) {
	note := ""
	if s.gateway.Addr() != "127.0.0.1:8080" {
		note = "  (8080 is taken)"
	}
	fmt.Fprintf(h.w, `Holdfast demo: an outage that users do not notice. No key, no network.

  gateway    %s%s
  operators  %s
  primary    %s  (%s)
  backup     %s  (%s)

Two groups of callers send the same %d calls a second, half of them streamed and
none retried: one through the gateway, one straight to a provider of its own.
`, s.gatewayURL(), note, s.adminURL(), s.primary.url, primaryName, s.backup.url, backupName, h.config.Rate)
}

// title says what happens in a phase.
func (v view) title() string {
	switch v.phase {
	case outage:
		return "OUTAGE: the primary answers 503 to new calls"
	case recovery:
		return "RECOVERY: the primary works again"
	case healthy:
	}
	return "HEALTHY: the primary answers everything"
}

// plain writes a line per second and a line per change.
type plain struct {
	header
	second int // written so far
	moves  int
	phase  phase
	any    bool
}

func (p *plain) show(v view) {
	if !p.any || v.phase != p.phase {
		fmt.Fprintf(p.w, "%5.1f s  %s\n", v.since.Seconds(), v.title())
		p.any, p.phase = true, v.phase
	}
	for ; p.moves < len(v.moves); p.moves++ {
		m := v.moves[p.moves]
		fmt.Fprintf(p.w, "%5.1f s  circuit of the primary: %s -> %s\n", m.at.Sub(v.began).Seconds(), m.from, m.to)
	}
	if at := int(v.since / time.Second); at > p.second {
		p.second = at
		fmt.Fprintf(p.w, "%3d   s  with: %d calls, %d failed   without: %d, %d failed   by backup: %d\n",
			at, v.protected.calls, v.protected.failed, v.without.calls, v.without.failed, v.backup)
	}
}

// screen redraws a block of lines a few times a second.
type screen struct {
	header
	width  func() int
	colour bool
	drawn  int // lines on the screen
}

// block is the widest that is drawn, in columns.
const block = 80

func (s *screen) show(v view) {
	width := min(block, s.width()-1) // the last column makes some terminals wrap
	lines := v.lines(width)
	var b bytes.Buffer
	if s.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", s.drawn)
	}
	for _, line := range lines {
		b.WriteString("\r\x1b[K" + s.painted(clipped(line, width)) + "\n")
	}
	s.drawn = len(lines)
	_, _ = s.w.Write(b.Bytes()) // a terminal that went away ends the process
}

// numbers is how many columns stand before a strip, longest how many seconds a
// strip shows.
const numbers, longest = 36, 40

// lines are what the screen shows, without colours.
func (v view) lines(width int) []string {
	strip := max(0, min(longest, width-numbers))
	tail := func(signs string) string { return signs[max(0, len(signs)-strip):] }
	left := max(0, v.lasts-v.past)
	rest := fmt.Sprintf("%4.1f s left", left.Seconds())
	if v.phase == recovery {
		rest = fmt.Sprintf("at most %4.1f s", left.Seconds())
	}
	arm := func(name string, t tally) string {
		return fmt.Sprintf("%-18s %6d %7d   %s", name, t.calls, t.failed, tail(t.health))
	}
	return []string{
		"",
		v.title(),
		fmt.Sprintf("%s %s", progress(v.past, v.lasts, min(60, width-18)), rest),
		"",
		fmt.Sprintf("%-18s %6s %7s   %s", "", "calls", "failed", fmt.Sprintf("last %d s: . well  x some failed  X all", strip)),
		arm("with Holdfast", v.protected),
		arm("without Holdfast", v.without),
		"",
		fmt.Sprintf("%-18s %6s %7s   %s", "", "saw", "refused", "who answered: P primary  B backup  + both"),
		fmt.Sprintf("%-18s %6d %7d   %s", "primary", v.primary, v.refused, tail(v.protected.who)),
		fmt.Sprintf("%-18s %6d %7d   %s", "backup", v.backup, 0, "the primary's circuit is "+strings.ReplaceAll(v.circuit, "_", "-")),
		"",
	}
}

func progress(past, lasts time.Duration, width int) string {
	width = max(1, width)
	done := width
	if lasts > 0 {
		done = min(width, int(float64(width)*past.Seconds()/lasts.Seconds()))
	}
	return "[" + strings.Repeat("=", done) + strings.Repeat(" ", width-done) + "]"
}

// clipped cuts a line of ASCII, so that it cannot wrap and shift the block.
func clipped(line string, width int) string {
	return line[:min(len(line), max(0, width))]
}

const (
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	bold   = "\x1b[1m"
	reset  = "\x1b[0m"
)

// painted adds the colours of one line.
func (s *screen) painted(line string) string {
	if !s.colour {
		return line
	}
	switch {
	case strings.HasPrefix(line, "OUTAGE"):
		return bold + red + line + reset
	case strings.HasPrefix(line, "RECOVERY"):
		return bold + yellow + line + reset
	case strings.HasPrefix(line, "HEALTHY"):
		return bold + green + line + reset
	case strings.HasPrefix(line, "with Holdfast"), strings.HasPrefix(line, "without Holdfast"):
		return paintedStrip(line)
	}
	return line
}

// paintedStrip colours the signs behind the numbers of an arm.
func paintedStrip(line string) string {
	if len(line) <= numbers {
		return line
	}
	var b strings.Builder
	b.WriteString(line[:numbers])
	for _, sign := range line[numbers:] {
		switch sign {
		case '.':
			b.WriteString(green + "." + reset)
		case 'x':
			b.WriteString(yellow + "x" + reset)
		case 'X':
			b.WriteString(red + "X" + reset)
		default:
			b.WriteRune(sign)
		}
	}
	return b.String()
}
