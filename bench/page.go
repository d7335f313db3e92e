package main

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// What lies below the folder of the page.
const (
	pageFile = "benchmarks.md"
	dataDir  = "benchmarks"
	dataFile = dataDir + "/data.json"
	csvFile  = dataDir + "/samples.csv"
)

// write leaves the raw data in folder, and the page and its plots made of them.
func write(folder string, r *results) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(folder, dataDir), 0o755); err != nil {
		return err
	}
	if err := writeFiles(folder, map[string]string{dataFile: string(data) + "\n", csvFile: table(r.Samples)}); err != nil {
		return err
	}
	return rewrite(folder)
}

// rewrite makes the page from the data beside it.
func rewrite(folder string) error {
	r, err := readData(folder)
	if err != nil {
		return err
	}
	return writeFiles(folder, rendered(r))
}

// rendered is everything that is made of the data, by its name in the folder.
func rendered(r *results) map[string]string {
	files := map[string]string{pageFile: page(r)}
	for _, p := range plots {
		files[dataDir+"/"+p.file] = p.draw(r)
	}
	return files
}

func writeFiles(folder string, files map[string]string) error {
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// readData reads the data of a run.
func readData(folder string) (*results, error) {
	var r results
	data, err := os.ReadFile(filepath.Join(folder, dataFile))
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	if err != nil {
		return nil, err
	}
	rows, err := os.Open(filepath.Join(folder, csvFile))
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	r.Samples, err = readTable(rows)
	return &r, err
}

// table is the samples as CSV.
func table(all samples) string {
	var text strings.Builder
	w := csv.NewWriter(&text)
	_ = w.Write([]string{"round", "system", "figure", "unit", "value"}) // a Builder takes everything
	for _, s := range all {
		_ = w.Write([]string{strconv.Itoa(s.Round), s.System, s.Figure, figureOf(s.Figure).Unit, strconv.FormatFloat(s.Value, 'g', 6, 64)})
	}
	w.Flush()
	return text.String()
}

// readTable reads what table wrote.
func readTable(r io.Reader) (samples, error) {
	rows, err := csv.NewReader(r).ReadAll()
	if err != nil || len(rows) == 0 {
		return nil, errors.Join(err, errors.New("no samples"))
	}
	var all samples
	for i, row := range rows[1:] {
		round, roundErr := strconv.Atoi(row[0])
		value, valueErr := strconv.ParseFloat(row[4], 64)
		if err := errors.Join(roundErr, valueErr); err != nil {
			return nil, fmt.Errorf("sample %d: %w", i+1, err)
		}
		all = append(all, sample{round, row[1], row[2], value})
	}
	return all, nil
}

func figureOf(id string) figure {
	for _, f := range figures {
		if f.ID == id {
			return f
		}
	}
	return figure{ID: id, Title: id}
}

// title is the name of a system for people.
func title(system string) string {
	switch system {
	case direct:
		return "no proxy"
	case haproxy:
		return "HAProxy"
	case reverseProxy:
		return "ReverseProxy"
	case portkey:
		return "Portkey"
	case holdfast:
		return "Holdfast"
	}
	return system
}

// cell writes a spread as the page shows it.
func (f figure) cell(s spread) string {
	if s.Min == s.Max {
		return thousands(s.Median, f.Digits)
	}
	between := "-"
	if s.Min < 0 {
		between = " to "
	}
	return fmt.Sprintf("%s (%s%s%s)", thousands(s.Median, f.Digits), thousands(s.Min, f.Digits), between, thousands(s.Max, f.Digits))
}

// thousands writes a number with a comma before each three digits.
func thousands(v float64, digits int) string {
	text := strconv.FormatFloat(math.Abs(v), 'f', digits, 64)
	whole, rest, _ := strings.Cut(text, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if rest != "" {
		whole += "." + rest
	}
	if v < 0 {
		return "-" + whole
	}
	return whole
}

// A bar is what Holdfast must keep to, as a ratio to the tuned ReverseProxy.
type bar struct {
	figure string
	most   float64
	goal   float64 // a stretch
}

var bars = []bar{
	{cpuClosed, 1.0, 0.6},
	{cpuEvent, 1.0, 0.9},
	{p99At500, 1.5, 1.0},
	{memory1000, 1.25, 0.8},
	{memory5000, 1.25, 0.8},
}

// verdict says whether a median ratio keeps to the bar.
func (b bar) verdict(median float64) string {
	switch {
	case median <= b.goal:
		return "met, and the goal"
	case median <= b.most:
		return "met"
	}
	return "**missed**"
}

// page is the whole page.
func page(r *results) string {
	var p strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&p, format+"\n", args...) }
	line("# Benchmarks")
	line("")
	line("Written by `make bench`. %s", setting(r))
	line("")
	if r.Rounds < 9 {
		line("**Fewer than nine rounds: a draft and no result.**")
		line("")
	}
	line("%s", pageIntro)
	line("## Bars")
	line("")
	writeBars(line, r)
	line("## Holdfast and the others")
	line("")
	line("How many times as much Holdfast takes: the median of the ratios within each round, with the least and the most. Where")
	line("more is better (per second), more than 1 is good; everywhere else less is.")
	line("")
	writeRatios(line, r)
	for _, s := range sections {
		line("## %s", s.title)
		line("")
		line("%s", s.text)
		if s.plot != "" {
			line("")
			line("![%s](%s/%s)", s.alt, dataDir, s.plot)
		}
		line("")
		writeTable(line, r, s.figures)
	}
	writePolicies(line, r)
	writeNotes(line, r)
	line("%s", pageEnd)
	return strings.TrimRight(p.String(), "\n") + "\n"
}

// setting says when, where and of what.
func setting(r *results) string {
	m := r.Machine
	return fmt.Sprintf("On %s: %d rounds of commit %s on %d cores of %s with %.0f GB, %s, %s;\neach phase counts %s, at 500/s half as long again.",
		m.Date, r.Rounds, m.Commit, m.Cores, m.CPU, m.MemoryGB, m.Kernel, m.Go, r.Window)
}

const pageIntro = `**A ratio to another system in the same round is a result; a time in microseconds is an anecdote** of this machine and hour.
Every cell is the median of all rounds, with the least and the most behind it. In each round every system is started anew,
and each phase is put on all of them, in an order that rotates, before the next phase begins.

- Load generator, upstream and proxy are processes of their own on one machine, so no proxy has the cores for itself, and
  requests per second say little about a proxy on a machine of its own. CPU time does: it is what the kernel counted for the
  proxy's process and its children, user and system, divided by the answers or events of the same window.
- A request is a chat completion of 2 kB, its answer 1 kB. The upstream answers at once from memory.
- At 500/s and 2,000/s calls begin at random moments (the same ones for every system of a round), whether or not earlier
  ones have ended, and a delay counts from the moment at which the call was due: a proxy that stalls is charged for everybody
  who came meanwhile. "Added" is the delay minus that without a proxy in the same round.
- A stream has 100 events at 20 ms, 200 are open at a time; the delay of an event is from its writing upstream to its reading.
  A stream of 67 events is written without a pause, 64 at a time.
- Memory is the growth of resident memory since before the first stream, divided by the open streams, each with an event per
  second. Cold start is from starting the process to its first answer.
- **Holdfast runs with everything on**: client keys, breakers, retries with budgets, queues, permits, all clocks, three
  providers with failover, metrics, and a line of JSON in the log for each call. nginx and HAProxy only pass on, without a log.
  ReverseProxy is ` + "`httputil.ReverseProxy`" + ` tuned as far as it goes, without any policy. Portkey has its defaults, and four
  seconds after each start to warm up.
`

const pageEnd = `## Run it

` + "`make bench`" + ` measures for about twelve minutes and writes this page, its plots and the raw data:
[every sample as CSV](benchmarks/samples.csv), [everything as JSON](benchmarks/data.json). The programs, configurations and
flags are described in [bench/README.md](../../bench/README.md); ` + "`make microbench`" + ` measures single rooms, for benchstat.
`

func writeBars(line func(string, ...any), r *results) {
	line("To the tuned ReverseProxy, within the same round:")
	line("")
	line("| Ratio | Bar | Goal | Measured | |")
	line("| --- | --- | --- | --- | --- |")
	for _, b := range bars {
		if s, n := r.Samples.ratio(holdfast, reverseProxy, b.figure); n > 0 {
			line("| %s | <= %.2f | %.1f | %s | %s |", figureOf(b.figure).Title, b.most, b.goal, s, b.verdict(s.Median))
		}
	}
	if same, every, allocations, n := policyRatio(r); n > 0 {
		line("| decisions of the policies that failsafe-go has too, time, to its | <= 1.00 | | %s | %s |", same, bar{most: 1}.verdict(same.Median))
		line("| decisions of all policies, time, to those of failsafe-go's | | | %s | |", every)
		line("| decisions of all policies, allocations per request | <= 12 | | %.0f | %s |", allocations, bar{most: 12}.verdict(allocations))
	}
	line("")
}

// writeRatios compares Holdfast with each of the others.
func writeRatios(line func(string, ...any), r *results) {
	others := []string{nginx, haproxy, reverseProxy, portkey}
	header, rule := "| |", "| --- |"
	for _, other := range others {
		header += " / " + title(other) + " |"
		rule += " --- |"
	}
	line("%s", header)
	line("%s", rule)
	for _, f := range figures {
		row, any := "| "+f.Title+" |", false
		for _, other := range others {
			s, n := r.Samples.ratio(holdfast, other, f.ID)
			if n == 0 || strings.HasPrefix(f.ID, "added_") { // a difference may be nothing
				row += " - |"
				continue
			}
			row, any = row+" "+s.String()+" |", true
		}
		if any {
			line("%s", row)
		}
	}
	line("")
}

// A section is a table of some figures.
type section struct {
	title, text string
	plot, alt   string
	figures     []string
}

var sections = []section{
	{
		title: "Requests", text: "CPU time of the proxy's process per request, in microseconds, and requests per second with 64 callers in a closed\nloop.",
		plot: "cpu-per-request.svg", alt: "CPU per request of each system",
		figures: []string{cpuClosed, cpu2000, cpu500, maxRate},
	},
	{
		title: "Delays", text: "Of whole answers, in microseconds, generator and upstream included.",
		plot: "p99-at-500.svg", alt: "p99 at 500 requests per second of each system",
		figures: []string{p50At500, p99At500, p50At2000, p99At2000},
	},
	{
		title: "Added delays", text: "The same minus no proxy in the same round. Below nothing is noise.",
		figures: []string{added50500, added99500, added50, added99},
	},
	{
		title: "Streams", text: "200 live streams, and whole streams of 67 events; microseconds.",
		plot: "cpu-per-event.svg", alt: "CPU per streamed event of each system",
		figures: []string{cpuEvent, delay50, delay99, cpuStream, streamRate},
	},
	{
		title: "Memory, start and size", text: "Per open stream in kB, start in milliseconds, program in MB (for Portkey its\npackages, without Node.js).",
		plot: "memory-per-stream.svg", alt: "Memory per open stream of each system",
		figures: []string{memory1000, memory5000, memoryIdle, coldStart, binarySize},
	},
}

func writeTable(line func(string, ...any), r *results, columns []string) {
	header, rule := "| |", "| --- |"
	for _, id := range columns {
		header += " " + figureOf(id).Title + " |"
		rule += " --- |"
	}
	line("%s", header)
	line("%s", rule)
	for _, system := range names() {
		row, any := "| "+title(system)+" |", false
		for _, id := range columns {
			s, n := r.Samples.spread(system, id)
			if n == 0 {
				row += " - |"
				continue
			}
			row, any = row+" "+figureOf(id).cell(s)+" |", true
		}
		if any {
			line("%s", row)
		}
	}
	line("")
}

// policyRatio compares what the policies decide with failsafe-go's, the same ones
// and all of ours: time within each round, and the median of our allocations.
func policyRatio(r *results) (same, every spread, allocations float64, rounds int) {
	var few, all, counts []float64
	for _, p := range r.Policies {
		few = append(few, p.Same.Time/p.FailsafeDeciding.Time)
		all = append(all, p.Deciding.Time/p.FailsafeDeciding.Time)
		counts = append(counts, p.Deciding.Allocations)
	}
	return spreadOf(few), spreadOf(all), spreadOf(counts).Median, len(few)
}

func writePolicies(line func(string, ...any), r *results) {
	if len(r.Policies) == 0 {
		return
	}
	column := func(of func(policyRound) policyCost) (time, allocations spread) {
		var times, counts []float64
		for _, p := range r.Policies {
			times, counts = append(times, of(p).Time), append(counts, of(p).Allocations)
		}
		return spreadOf(times), spreadOf(counts)
	}
	line("## Policies without a wire")
	line("")
	line("%s", policiesText)
	line("")
	line("| | ns per request | allocations |")
	line("| --- | --- | --- |")
	for _, row := range []struct {
		name string
		of   func(policyRound) policyCost
	}{
		{"decisions of failsafe-go's policies", func(p policyRound) policyCost { return p.FailsafeDeciding }},
		{"decisions of the same policies of Holdfast", func(p policyRound) policyCost { return p.Same }},
		{"decisions of all policies of Holdfast", func(p policyRound) policyCost { return p.Deciding }},
		{"the bare RoundTripper", func(p policyRound) policyCost { return p.Bare }},
		{"failsafe-go's RoundTripper over it", func(p policyRound) policyCost { return p.Failsafe }},
		{"Holdfast's Transport over it", func(p policyRound) policyCost { return p.Holdfast }},
	} {
		times, counts := column(row.of)
		line("| %s | %s | %s |", row.name, figure{}.cell(times), figure{}.cell(counts))
	}
	line("")
}

const policiesText = `**Decisions** are what the policies of both decide about an answer that is there at once: failsafe-go's retries with a
budget, rate limiter, circuit breaker, bulkhead and timeout; the same of Holdfast for one target, with its waiting room and
its events; and all of Holdfast's: limits of each key, budgets, waiting room, choice of two targets with two keys each,
permit, quota, circuit, retry budget and clocks, with the events about all that. Holdfast's cost is that of a call that is
read and decided, minus that of one that is read. The bar on time is about the same policies, that on allocations about all.

**The RoundTrippers** take a request of 2 kB to an in-memory one that answers 1 kB at once, from making the request to
closing the answer that was read to its end; what the bare one takes in the same round is taken off. Holdfast's Transport
also reads the request for its model and limits, puts the target's model and credential in, judges the answer's body
and tells a Recorder; failsafe-go's does none of that.`

func writeNotes(line func(string, ...any), r *results) {
	line("## Versions and notes")
	line("")
	for _, system := range names() {
		if v := r.Machine.Versions[system]; v != "" && system != direct {
			line("- %s: %s", title(system), v)
		}
	}
	for _, note := range r.Notes {
		line("- %s", note)
	}
	line("")
}

// summary is the bars for whoever ran it.
func summary(r *results) string {
	var text strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&text, format+"\n", args...) }
	line("")
	writeBars(line, r)
	writeRatios(line, r)
	for _, note := range r.Notes {
		line("note: %s", note)
	}
	return text.String()
}
