package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestRatiosAreTakenWithinARound(t *testing.T) {
	all := samples{
		{1, holdfast, cpuClosed, 10}, {1, reverseProxy, cpuClosed, 20},
		{2, holdfast, cpuClosed, 100}, {2, reverseProxy, cpuClosed, 100}, // a noisy minute for both
		{3, holdfast, cpuClosed, 10}, {3, reverseProxy, cpuClosed, 20},
		{4, holdfast, cpuClosed, 10}, // nothing to compare with
	}
	got, n := all.ratio(holdfast, reverseProxy, cpuClosed)
	if want := (spread{Median: 0.5, Min: 0.5, Max: 1}); got != want || n != 3 {
		t.Errorf("got %v of %d rounds, want %v of 3", got, n, want)
	}
}

func TestAddedDelaysAreThoseOverNoProxyInTheSameRound(t *testing.T) {
	r := &results{Samples: samples{
		{1, direct, p99At500, 100}, {1, holdfast, p99At500, 150},
		{2, direct, p99At500, 900}, {2, holdfast, p99At500, 930},
	}}
	added(1, r)
	added(2, r)
	if got := r.Samples.of(holdfast, added99500); got[1] != 50 || got[2] != 30 {
		t.Errorf("got %v, want 50 and 30", got)
	}
}

func TestPercentilesAreDelaysThatHappened(t *testing.T) {
	var delays []time.Duration
	for i := 100; i > 0; i-- {
		delays = append(delays, time.Duration(i))
	}
	for p, want := range map[float64]time.Duration{0.5: 51, 0.99: 100, 1: 100} {
		if got := percentile(delays, p); got != want {
			t.Errorf("percentile %v is %d, want %d", p, got, want)
		}
	}
}

func TestNumbersAreWrittenForPeople(t *testing.T) {
	for want, got := range map[string]string{
		"1,234,567": thousands(1234567, 0), "999": thousands(999, 0), "-1,000.5": thousands(-1000.5, 1),
		"2 (1-3)":     figure{}.cell(spread{2, 1, 3}),
		"2 (-1 to 3)": figure{}.cell(spread{2, -1, 3}),
		"7":           figure{}.cell(spread{7, 7, 7}),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestTheDataSurviveBeingWrittenAndRead(t *testing.T) {
	dir := t.TempDir()
	want := &results{Rounds: 1, Window: "1s", Notes: []string{"a note"}, Samples: samples{{1, holdfast, cpuClosed, 12.5}, {1, direct, maxRate, 54321}}}
	if err := write(dir, want); err != nil {
		t.Fatal(err)
	}
	got, err := readData(dir)
	if err != nil {
		t.Fatal(err)
	}
	if page(got) != page(want) || len(got.Samples) != 2 {
		t.Errorf("the page of what was read differs:\n%s", page(got))
	}
}

func TestABarIsMissedByTheMedian(t *testing.T) {
	b := bar{most: 1, goal: 0.6}
	for median, want := range map[float64]string{0.6: "met, and the goal", 1: "met", 1.01: "**missed**"} {
		if got := b.verdict(median); got != want {
			t.Errorf("%v is %q, want %q", median, got, want)
		}
	}
}

func TestLinesOfBenchmarksAreRead(t *testing.T) {
	got := benchmarkLines([]byte("goos: linux\nBenchmarkChain/reading-2 \t 10 \t 1503.5 ns/op\t 1264 B/op \t 9 allocs/op\nBenchmarkX 3 7 ns/op 0 B/op 0 allocs/op\nPASS\n"))
	if len(got) != 2 || got["Chain/reading"] != (policyCost{1503.5, 9}) || got["X"] != (policyCost{7, 0}) {
		t.Errorf("got %v", got)
	}
}

func TestPlotsAreWellFormed(t *testing.T) {
	r := &results{Samples: samples{{1, holdfast, cpuClosed, 80}, {1, nginx, cpuClosed, 20}, {2, nginx, cpuClosed, 30}}}
	for _, p := range plots {
		decoder := xml.NewDecoder(strings.NewReader(p.draw(r)))
		for {
			if _, err := decoder.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", p.file, err)
			}
		}
	}
}

func TestThePageInTheDocsSaysWhatTheDataBesideItSay(t *testing.T) {
	const folder = "../docs/reference"
	r, err := readData(folder)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range rendered(r) {
		got, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil || string(got) != want {
			t.Errorf("%s is not what the data say (%v): bin/bench -page ../docs/reference, run in bench, writes it again", name, err)
		}
	}
}
