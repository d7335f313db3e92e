package main

// A figure is one thing that is measured of every system.
type figure struct {
	ID     string
	Title  string
	Unit   string
	Digits int  // behind the point, on the page
	More   bool // whether more is better
}

// What is measured. The names are those of the raw data.
const (
	cpuClosed  = "cpu_closed"
	maxRate    = "max_rate"
	cpu500     = "cpu_500"
	p50At500   = "p50_500"
	p99At500   = "p99_500"
	added50500 = "added_p50_500"
	added99500 = "added_p99_500"
	cpu2000    = "cpu_2000"
	p50At2000  = "p50_2000"
	p99At2000  = "p99_2000"
	added50    = "added_p50_2000"
	added99    = "added_p99_2000"
	cpuEvent   = "cpu_event"
	delay50    = "event_delay_p50"
	delay99    = "event_delay_p99"
	streamRate = "streams_rate"
	cpuStream  = "cpu_stream"
	memory1000 = "memory_1000"
	memory5000 = "memory_5000"
	memoryIdle = "memory_idle"
	coldStart  = "cold_start"
	binarySize = "binary_size"
)

// figures are all of them, in the order of the page.
var figures = []figure{
	{ID: cpuClosed, Title: "CPU per request, closed loop", Unit: "us"},
	{ID: cpu500, Title: "CPU per request at 500/s", Unit: "us"},
	{ID: cpu2000, Title: "CPU per request at 2,000/s", Unit: "us"},
	{ID: maxRate, Title: "requests per second, closed loop", Unit: "1/s", More: true},
	{ID: p50At500, Title: "p50 at 500/s", Unit: "us"},
	{ID: p99At500, Title: "p99 at 500/s", Unit: "us"},
	{ID: p50At2000, Title: "p50 at 2,000/s", Unit: "us"},
	{ID: p99At2000, Title: "p99 at 2,000/s", Unit: "us"},
	{ID: added50500, Title: "added p50 at 500/s", Unit: "us"},
	{ID: added99500, Title: "added p99 at 500/s", Unit: "us"},
	{ID: added50, Title: "added p50 at 2,000/s", Unit: "us"},
	{ID: added99, Title: "added p99 at 2,000/s", Unit: "us"},
	{ID: cpuEvent, Title: "CPU per streamed event", Unit: "us", Digits: 1},
	{ID: delay50, Title: "event delay p50", Unit: "us"},
	{ID: delay99, Title: "event delay p99", Unit: "us"},
	{ID: cpuStream, Title: "CPU per stream of 67 events", Unit: "us"},
	{ID: streamRate, Title: "streams of 67 events per second", Unit: "1/s", More: true},
	{ID: memory1000, Title: "memory per open stream, 1,000 open", Unit: "kB", Digits: 1},
	{ID: memory5000, Title: "memory per open stream, 5,000 open", Unit: "kB", Digits: 1},
	{ID: memoryIdle, Title: "memory after some requests", Unit: "MB", Digits: 1},
	{ID: coldStart, Title: "cold start to the first answer", Unit: "ms"},
	{ID: binarySize, Title: "size of the program", Unit: "MB", Digits: 1},
}

// sample is one value of one round.
type sample struct {
	Round  int
	System string
	Figure string
	Value  float64
}

// samples are those of a whole run.
type samples []sample

// of returns the values of a figure of a system, by round.
func (s samples) of(system, figure string) map[int]float64 {
	values := map[int]float64{}
	for _, x := range s {
		if x.System == system && x.Figure == figure {
			values[x.Round] = x.Value
		}
	}
	return values
}

// spread returns how a figure of a system lies over the rounds, and in how many
// rounds there was one.
func (s samples) spread(system, figure string) (spread, int) {
	values := s.of(system, figure)
	var all []float64
	for _, v := range values {
		all = append(all, v)
	}
	return spreadOf(all), len(all)
}

// ratio returns how a figure of one system lies to that of another, divided
// within each round that has both, and how many those are. What both had in the
// same minute, a noisy neighbour say, is not in it.
func (s samples) ratio(system, other, figure string) (spread, int) {
	mine, theirs := s.of(system, figure), s.of(other, figure)
	var all []float64
	for round, v := range mine {
		if w, ok := theirs[round]; ok && w > 0 {
			all = append(all, v/w)
		}
	}
	return spreadOf(all), len(all)
}
