package demo

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// writeSummary prints a report for people, 80 columns wide at most.
func writeSummary(w io.Writer, r Report) error {
	var b bytes.Buffer
	row := func(name, with, without string) { fmt.Fprintf(&b, "%-44s %15s %17s\n", name, with, without) }
	count := func(name string, with, without int) { row(name, fmt.Sprint(with), fmt.Sprint(without)) }

	b.WriteByte('\n')
	row("", "with Holdfast", "without Holdfast")
	b.WriteString(strings.Repeat("-", 78) + "\n")
	count("calls", r.Protected.Calls, r.Unprotected.Calls)
	count("  of these streamed", r.Protected.Streamed, r.Unprotected.Streamed)
	count("FAILED", r.Protected.Failed, r.Unprotected.Failed)
	count("  of these begun in the outage", r.Protected.FailedInOutage, r.Unprotected.FailedInOutage)
	row("whole answer, median / 95 % (ms)", millis(r.Protected), millis(r.Unprotected))
	count("attempts that the primary logged", r.Primary.Attempts, r.Alone.Attempts)
	count("  before the outage", r.Primary.Before, r.Alone.Before)
	count(fmt.Sprintf("  in the outage (%.1f s)", r.Outage), r.Primary.During, r.Alone.During)
	count("  after the outage", r.Primary.After, r.Alone.After)
	count("  answered with 503", r.Primary.Refused, r.Alone.Refused)
	row("answers that the backup logged", fmt.Sprint(r.Backup.Answered), "no backup")
	row("attempts per call, mean / most", amplification(r.Protected), amplification(r.Unprotected))
	b.WriteByte('\n')
	for _, line := range r.Circuit.story() {
		wrapped(&b, "- ", line)
	}
	for _, c := range r.Checks {
		if !c.OK {
			wrapped(&b, "! ", c.wrong())
		}
	}
	if agree(r.Checks) {
		wrapped(&b, "- ", fmt.Sprintf("%d of %d numbers of %s, %s and the answers' headers are those of the providers' logs.", len(r.Checks), len(r.Checks), metricsPath, statusPath))
	}
	b.WriteByte('\n')
	wrapped(&b, "", r.conclusion())
	_, err := w.Write(b.Bytes())
	return err
}

func millis(a Arm) string { return fmt.Sprintf("%.0f / %.0f", a.MedianMillis, a.P95Millis) }

func amplification(a Arm) string {
	return fmt.Sprintf("%.2f / %d", a.AttemptsPerCall, a.AttemptsAtMost)
}

// story tells what the circuit did, a sentence or two a line.
func (c Circuit) story() []string {
	if c.Opened == nil {
		return []string{"The primary's circuit did not open."}
	}
	lines := []string{
		fmt.Sprintf("The primary's circuit opened %.1f s into the outage, after %s. Each of these calls moved on to the backup.", *c.Opened, c.cause()),
		fmt.Sprintf("From then to the end of the outage the primary saw %s instead of all the traffic.", plural(c.ProbesInOutage, "probe")),
	}
	if c.GoodProbe != nil {
		lines = append(lines, fmt.Sprintf("The first good probe came %.1f s after the primary worked again.", *c.GoodProbe))
	}
	switch {
	case c.Closed == nil:
		lines = append(lines, "The circuit had not closed again when the demo ended.")
	case c.FullShare == nil:
		lines = append(lines, fmt.Sprintf("The circuit closed %.1f s after it worked again; the share was still growing when the demo ended.", *c.Closed))
	default:
		lines = append(lines, fmt.Sprintf("The circuit closed %.1f s after it worked again, and %.1f s later the primary had its whole share back.", *c.Closed, *c.FullShare))
	}
	return lines
}

// cause says after how many failures the circuit opened. Answers that began
// before the outage go on to a good end, and each of them starts the count of
// failures in a row again.
func (c Circuit) cause() string {
	failures := plural(c.Failures, "failure")
	switch {
	case c.Cause != "consecutive":
		return failures + " (" + c.Cause + ")"
	case c.Failures > c.inARow:
		return fmt.Sprintf("%s, the last %d in a row (answers begun earlier still ended well in between)", failures, c.inARow)
	}
	return failures + " in a row"
}

func (r Report) conclusion() string {
	if !r.OK {
		return "NOT AS IT SHOULD BE: " + r.Why
	}
	return fmt.Sprintf("The same outage: %d of %d calls failed without Holdfast, 0 of %d with it. Callers did not retry in either arm.",
		r.Unprotected.Failed, r.Unprotected.Calls, r.Protected.Calls)
}

func plural(n int, what string) string {
	switch n {
	case 0:
		return "no " + what + "s"
	case 1:
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// listed names what was counted, the names sorted.
func listed(counts map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d x %s", counts[name], name))
	}
	return strings.Join(parts, ", ")
}

// wrapped writes a paragraph of at most 78 columns behind a mark.
func wrapped(b *bytes.Buffer, mark, text string) {
	const width = 78
	line := mark
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
			line += word
		case len(line)+1+len(word) > width:
			b.WriteString(line + "\n")
			line = strings.Repeat(" ", len(mark)) + word
		default:
			line += " " + word
		}
	}
	b.WriteString(line + "\n")
}

// writeInvitation says what can be tried while everything runs on.
func writeInvitation(w io.Writer, s *stage) {
	fmt.Fprintf(w, `
Everything runs on until Ctrl-C:
  gateway    %s
  operators  %s%s
  primary    %s   backup %s

Send a call of your own, break the primary, and send it again:
  curl -si %s/v1/chat/completions \
    -H 'content-type: application/json' \
    -d '{"model":"%s","messages":[{"role":"user","content":"hi"}]}'
  curl -s %s/sim/dials -d '{"fault":"503"}'
`, s.gatewayURL(), s.adminURL(), metricsPath, s.primary.url, s.backup.url, s.gatewayURL(), modelName, s.primary.url)
}
