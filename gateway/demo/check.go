package demo

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-gateway/holdfast/gateway/server"
)

// Check compares what was counted by providers and callers with what the gateway
// tells about itself.
type Check struct {
	What    string `json:"what"`
	Where   string `json:"where"`
	Counted int    `json:"counted"`
	Told    int    `json:"told"`
	OK      bool   `json:"ok"`
	Error   string `json:"error,omitempty"` // why the gateway told nothing
}

// wrong is a sentence about a check that failed.
func (c Check) wrong() string {
	if c.Error != "" {
		return fmt.Sprintf("%s could not be read: %s.", c.What, c.Error)
	}
	return fmt.Sprintf("%s: counted %d, but %s says %d.", c.What, c.Counted, c.Where, c.Told)
}

const (
	metricsPath = "/metrics"
	statusPath  = "/api/v1/status"
	callersName = "the callers"
)

// books is how long providers and gateway may take to close their books: both
// note the end of an answer a moment after its last byte has reached the caller.
const books = time.Second

// agreed counts again and again until all checks agree, for at most the time of
// books, and returns the last report. What could not be compared at the end does
// not hide what disagreed before.
func agreed(ctx context.Context, count func(context.Context) (Report, error)) Report {
	// An interrupt now comes too late to change what was seen.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), books)
	defer cancel()
	ticker := time.NewTicker(books / 20)
	defer ticker.Stop()
	var last Report
	for {
		r, err := count(ctx)
		switch {
		case err == nil && agree(r.Checks):
			return r
		case err != nil && last.Checks == nil || err != nil && ctx.Err() == nil:
			r.Checks = []Check{{What: "The gateway's own numbers", Where: metricsPath, Error: err.Error()}}
			last = r
		case err == nil:
			last = r
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return last
		}
	}
}

func agree(checks []Check) bool {
	for _, c := range checks {
		if !c.OK {
			return false
		}
	}
	return true
}

func (p *play) compare(ctx context.Context, r *Report) ([]Check, error) {
	text, err := fetch(ctx, p.stage.adminURL()+metricsPath)
	if err != nil {
		return nil, err
	}
	raw, err := fetch(ctx, p.stage.adminURL()+statusPath)
	if err != nil {
		return nil, err
	}
	var status server.Status
	if err := json.Unmarshal(raw, &status); err != nil {
		return nil, fmt.Errorf("status: %w", err)
	}
	return p.comparisons(r, metrics(text), status), nil
}

func (p *play) comparisons(r *Report, m metrics, status server.Status) []Check {
	var checks []Check
	add := func(what string, counted int, where string, told int) {
		checks = append(checks, Check{What: what, Where: where, Counted: counted, Told: told, OK: counted == told})
	}
	calls, good := 0, 0
	for _, route := range status.Routes {
		calls, good = calls+int(route.Calls), good+int(route.OK)
	}
	sent, fine := r.Protected.Calls, r.Protected.Calls-r.Protected.Failed
	add("Calls through Holdfast", sent, metricsPath, m.sum("holdfast_requests_total"))
	add("Calls through Holdfast", sent, statusPath, calls)
	add("Calls answered well", fine, metricsPath, m.sum("holdfast_requests_total", "outcome", "ok")+m.sum("holdfast_requests_total", "outcome", "degraded"))
	add("Calls answered well", fine, statusPath, good)
	for _, provider := range []Provider{r.Primary, r.Backup} {
		attempts := 0
		for _, t := range status.Targets {
			if t.Provider == provider.Name {
				attempts += int(t.Attempts)
			}
		}
		add("Attempts at "+provider.Name, provider.Attempts, metricsPath, m.sum("holdfast_attempts_total", "provider", provider.Name))
		add("Attempts at "+provider.Name, provider.Attempts, statusPath, attempts)
		add("Answers of "+provider.Name, provider.Answered, metricsPath, m.sum("holdfast_attempts_total", "provider", provider.Name, "class", "ok"))
		add("Answers of "+provider.Name, provider.Answered, callersName, answeredBy(p.protected, provider.Name))
	}
	add("Answers of "+r.Alone.Name, r.Alone.Answered, callersName, r.Unprotected.Calls-r.Unprotected.Failed)
	return checks
}

// answeredBy counts the good answers whose headers name a provider.
func answeredBy(a *arm, name string) int {
	n := 0
	_, results := a.seen()
	for _, r := range results {
		if r.failure == "" && r.provider == name {
			n++
		}
	}
	return n
}

func fetch(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 300)) // why, if it says so
		return nil, fmt.Errorf("%s answers %s: %s", url, resp.Status, strings.TrimSpace(string(text)))
	}
	return io.ReadAll(io.LimitReader(resp.Body, 4<<20))
}

// metrics is an exposition in the text format.
type metrics string

// sum adds up the samples of a family whose labels have the values given: name,
// value, name, value.
func (m metrics) sum(family string, labels ...string) int {
	total := 0.0
	lines := bufio.NewScanner(strings.NewReader(string(m)))
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), family+"{")
		if !ok {
			continue
		}
		at := strings.LastIndex(rest, "} ")
		if at < 0 || !hasLabels(rest[:at], labels) {
			continue
		}
		value, err := strconv.ParseFloat(strings.Fields(rest[at+2:])[0], 64)
		if err == nil {
			total += value
		}
	}
	return int(total)
}

func hasLabels(text string, labels []string) bool {
	for i := 0; i+1 < len(labels); i += 2 {
		if !strings.Contains(","+text, fmt.Sprintf(",%s=%q", labels[i], labels[i+1])) {
			return false
		}
	}
	return true
}
