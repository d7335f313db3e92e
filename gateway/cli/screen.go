package cli

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/gateway/admin"
	"github.com/holdfast-gateway/holdfast/gateway/explain"
)

// screen is where a status is drawn. A zero field means without bounds, and
// without colours.
type screen struct {
	width, height int
	colours       bool
}

// terminalScreen is the terminal as the shell describes it, 80x24 otherwise.
func terminalScreen() screen {
	number := func(name string, fallback int) int {
		n, err := strconv.Atoi(os.Getenv(name))
		if err != nil || n < 20 {
			return fallback
		}
		return n
	}
	return screen{width: number("COLUMNS", 80), height: number("LINES", 24), colours: os.Getenv("NO_COLOR") == ""}
}

// section is a table with a title row. Rows that do not fit are counted.
type section struct {
	rows  []row
	least int // rows it gets at least, where there are so many
}

// row is one line; bad ones are shown first when not all fit.
type row struct {
	text string
	bad  bool
}

// draw returns the status as lines.
func (s screen) draw(status admin.Status, now time.Time) string {
	lines := s.head(status, now)
	sections := []section{routesOf(status), targetsOf(status, now), quotasOf(status), limitsOf(status), budgetsOf(status), failuresOf(status)}
	room := s.share(sections, len(lines))
	for i, sec := range sections {
		if len(sec.rows) < 2 {
			continue
		}
		lines = append(lines, "")
		for _, r := range fit(sec.rows, room[i]) {
			lines = append(lines, s.line(r))
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

// head are the lines about the gateway as a whole.
func (s screen) head(status admin.Status, now time.Time) []string {
	state := row{text: fmt.Sprintf("holdfast %s  %s  up %s  %s of %s", status.Version, readiness(status.Ready),
		now.Sub(status.Started).Round(time.Second), status.Config.File, status.Config.Loaded.Local().Format("15:04:05")), bad: !status.Ready}
	lines := []string{s.line(state)}
	if status.Config.Error == "" {
		return lines
	}
	lines = append(lines, s.line(row{text: "The file has a mistake; the one before is in force:", bad: true}))
	for i, l := range strings.Split(printable(status.Config.Error), "\n") {
		if i == 3 && s.height > 0 {
			break // the first mistake, with its place
		}
		lines = append(lines, clip(l, s.width))
	}
	return lines
}

// line clips a row and colours a bad one.
func (s screen) line(r row) string {
	text := clip(strings.TrimRight(r.text, " "), s.width)
	if s.colours && r.bad {
		return "\x1b[31m" + text + "\x1b[0m"
	}
	return text
}

// share gives each section the rows it may use, its title counted.
func (s screen) share(sections []section, used int) []int {
	room := make([]int, len(sections))
	if s.height <= 0 {
		for i, sec := range sections {
			room[i] = len(sec.rows)
		}
		return room
	}
	left := s.height - used - 1 // the cursor stands on a line of its own
	for i, sec := range sections {
		if len(sec.rows) > 1 {
			room[i] = min(len(sec.rows), sec.least)
			left -= room[i] + 1
		}
	}
	for grown := true; grown && left > 0; {
		grown = false
		for i, sec := range sections {
			if room[i] < len(sec.rows) && len(sec.rows) > 1 && left > 0 {
				room[i]++
				left--
				grown = true
			}
		}
	}
	return room
}

// fit returns at most so many rows, title first, bad ones before good ones; the
// last line says how many are missing.
func fit(rows []row, room int) []row {
	if len(rows) <= room {
		return rows
	}
	kept := slices.Clone(rows[1:])
	slices.SortStableFunc(kept, func(a, b row) int { return -cmp.Compare(worth(a), worth(b)) })
	shown := max(room-2, 0)
	out := append([]row{rows[0]}, kept[:shown]...)
	return append(out, row{text: fmt.Sprintf("... and %d more", len(kept)-shown)})
}

func worth(r row) int {
	if r.bad {
		return 1
	}
	return 0
}

// table aligns columns; the first row is the title. bad says which rows are.
func table(bad []bool, cells [][]string) []row {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
	for _, c := range cells {
		for i, cell := range c {
			c[i] = printable(cell)
		}
		fmt.Fprintln(w, strings.Join(c, "\t"))
	}
	_ = w.Flush() // to memory
	var rows []row
	for i, l := range strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n") {
		rows = append(rows, row{text: l, bad: i > 0 && bad[i-1]})
	}
	return rows
}

func routesOf(status admin.Status) section {
	cells, bad := [][]string{{"ROUTE", "RUNNING", "WAITING", "CALLS", "OK", "REFUSED"}}, []bool{}
	for _, r := range status.Routes {
		cells = append(cells, []string{clip(r.Name, 30), fmt.Sprint(r.Running), fmt.Sprint(r.Waiting), fmt.Sprint(r.Calls), fmt.Sprint(r.OK), fmt.Sprint(r.Refused)})
		bad = append(bad, r.Waiting > 0)
	}
	return section{table(bad, cells), 3}
}

func targetsOf(status admin.Status, now time.Time) section {
	cells, bad := [][]string{{"TARGET", "CIRCUIT", "IN FLIGHT", "BUDGET", "ENDED AS", "KEYS"}}, []bool{}
	for _, t := range status.Targets {
		keys, out := keysOf(t, now)
		cells = append(cells, []string{clip(targetName(t), 32), circuit(t, now), inFlight(t), fmt.Sprintf("%.0f %%", t.RetryBudget*100), classes(t), keys})
		bad = append(bad, t.Breaker != "closed" || out)
	}
	return section{table(bad, cells), 4}
}

// quotasOf shows what is left of the providers' limits.
func quotasOf(status admin.Status) section {
	cells, bad := [][]string{{"QUOTA", "KEY", "LIMIT", "LEFT", "HELD", ""}}, []bool{}
	for _, t := range status.Targets {
		for _, q := range t.Quotas {
			hint := ""
			if q.Waste > 0 {
				hint = fmt.Sprintf("%.0f %% wasted: max_tokens %d, used %d", 100*q.Waste, q.MaxTokens, q.Used)
			}
			cells = append(cells, []string{clip(targetName(t), 32), clip(q.Key, 16), fmt.Sprintf("%d %s", q.Allowed, q.Limit), fmt.Sprint(q.Left), fmt.Sprint(q.Reserved), hint})
			bad = append(bad, q.Left <= 0)
		}
	}
	return section{table(bad, cells), 3}
}

func failuresOf(status admin.Status) section {
	cells, bad := [][]string{{"RECENT FAILURES"}}, []bool{}
	for _, f := range status.Failures {
		cells = append(cells, []string{f.At.Local().Format("15:04:05") + "  " + f.ID, f.Route, failure(f)})
		bad = append(bad, false)
	}
	return section{table(bad, cells), 4}
}

// failure says how a call ended.
func failure(f explain.Summary) string {
	words := f.Class
	if f.Reason != "" && f.Source == "gateway" {
		words = f.Reason
	}
	if f.Status > 0 {
		words = fmt.Sprintf("%d %s", f.Status, words)
	}
	return words + ", " + counted(f.Made, "attempt")
}

func readiness(ready bool) string {
	if ready {
		return "ready"
	}
	return "draining"
}

func targetName(t holdfast.TargetStatus) string {
	if t.Model == "" || strings.HasSuffix(t.Name, "/"+t.Model) {
		return t.Name
	}
	return t.Name + " (" + t.Model + ")"
}

func circuit(t holdfast.TargetStatus, now time.Time) string {
	if wait := t.OpenUntil.Sub(now); wait > 0 {
		return fmt.Sprintf("%s for %s", t.Breaker, wait.Round(time.Second))
	}
	if wait := t.EjectedUntil.Sub(now); wait > 0 { // closed, and the others of its place are asked
		return fmt.Sprintf("outlier for %s", wait.Round(time.Second))
	}
	return t.Breaker
}

func inFlight(t holdfast.TargetStatus) string {
	if t.Permits == 0 {
		return fmt.Sprint(t.InFlight)
	}
	return fmt.Sprintf("%d of %d", t.InFlight, t.Permits)
}

func classes(t holdfast.TargetStatus) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(t.Classes)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, t.Classes[name]))
	}
	if len(parts) == 0 {
		return "-"
	}
	return strings.Join(parts, ", ")
}

// keysOf names the keys that are not in use, and whether there are such, or says
// that all are in use.
func keysOf(t holdfast.TargetStatus, now time.Time) (text string, out bool) {
	var words []string
	for _, k := range t.Keys {
		switch {
		case k.EjectedUntil.After(now):
			words = append(words, fmt.Sprintf("%s out for %s (%s)", k.Name, k.EjectedUntil.Sub(now).Round(time.Second), k.Reason))
		case k.PausedUntil.After(now):
			words = append(words, fmt.Sprintf("%s paused for %s", k.Name, k.PausedUntil.Sub(now).Round(time.Second)))
		}
	}
	if len(words) == 0 {
		return fmt.Sprintf("%d in use", len(t.Keys)), false
	}
	return strings.Join(words, ", "), true
}
