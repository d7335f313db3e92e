package telemetry

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-gateway/holdfast"
)

// statusCollector turns a Status into metrics at the moment of a scrape.
type statusCollector struct {
	status  func() holdfast.Status
	sources Sources

	breaker, budget, inFlight, permits *prometheus.Desc
	running, waiting, lost, withheld   *prometheus.Desc
	answers, answerBytes, evicted      *prometheus.Desc
	decisions, kept, blocked           *prometheus.Desc
	overBudget                         *prometheus.Desc
	allowed, left, reserved, waste     *prometheus.Desc
}

func newStatusCollector(f *families, s Sources) *statusCollector {
	c := &statusCollector{
		status: s.Status, sources: s,
		breaker:     f.read("gauge", "holdfast_breaker_state", "State of a target's circuit: 0 closed, 1 half-open, 2 open.", "target"),
		budget:      f.read("gauge", "holdfast_retry_budget_remaining_ratio", "Share of a target's retry budget that is left, 0 to 1.", "target"),
		inFlight:    f.read("gauge", "holdfast_attempts_in_flight", "Attempts under way at a target, to the end of their bodies.", "target"),
		permits:     f.read("gauge", "holdfast_concurrency_limit", "Attempts that a target may carry at once; absent when unlimited.", "target"),
		running:     f.read("gauge", "holdfast_queue_running", "Calls inside, to the end of their answers.", "route"),
		waiting:     f.read("gauge", "holdfast_queue_waiting", "Calls in the waiting room, by class: critical, high, normal, batch.", "route", "class"),
		answers:     f.read("gauge", "holdfast_cache_entries", "Answers that a route's cache keeps.", "route"),
		answerBytes: f.read("gauge", "holdfast_cache_bytes", "What they take in memory, in bytes; an estimate.", "route"),
		evicted:     f.read("counter", "holdfast_cache_evictions_total", "Answers that made room for others.", "route"),
		lost:        f.read("counter", "holdfast_telemetry_dropped_total", "Log lines and spans that were lost, because nobody took them fast enough. sink is log or traces.", "sink"),
		withheld:    f.read("counter", "holdfast_log_lines_suppressed_total", "Log lines of a kind that came too often; a line says how many."),
		decisions:   f.read("counter", "holdfast_ratelimit_decisions_total", "What a limit said to calls: admitted, refused, full (too many under way), shadow (it would have refused), or spared (another limit refused).", "limit", "decision"),
		kept:        f.read("gauge", "holdfast_ratelimit_keys", "Keys, addresses and so on that a limit has a meter for.", "limit"),
		blocked:     f.read("gauge", "holdfast_ratelimit_blocked", "Of these those in the penalty box.", "limit"),
		overBudget:  f.read("counter", "holdfast_budget_refusals_total", "Calls refused because a budget of the day was used up, by whose it was: key, tenant or route.", "per"),
		allowed:     f.read("gauge", "holdfast_quota_limit", "What a provider allows a key: requests (rpm) or tokens (tpm, itpm, otpm) per minute, requests per day (rpd). Of several models the one with the smallest part left.", "target", "key", "limit"),
		left:        f.read("gauge", "holdfast_quota_remaining", "What of it may be taken at this moment, at most 15 s worth; below 0 is debt.", "target", "key", "limit"),
		reserved:    f.read("gauge", "holdfast_quota_reserved", "What of it attempts under way hold.", "target", "key", "limit"),
		waste:       f.read("gauge", "holdfast_quota_waste_ratio", "Share of the tokens charged that nobody used, where callers ask for a max_tokens far above what answers take and the provider counts it; absent otherwise.", "target", "key"),
	}
	return c
}

// Describe names the metrics.
func (c *statusCollector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.breaker, c.budget, c.inFlight, c.permits, c.running, c.waiting, c.answers, c.answerBytes, c.evicted, c.lost, c.withheld, c.decisions, c.kept, c.blocked, c.overBudget, c.allowed, c.left, c.reserved, c.waste} {
		to <- d
	}
}

// Collect reads the status once.
func (c *statusCollector) Collect(to chan<- prometheus.Metric) {
	for sink, dropped := range c.sources.Dropped {
		if dropped != nil {
			to <- prometheus.MustNewConstMetric(c.lost, prometheus.CounterValue, float64(dropped()), sink)
		}
	}
	if c.sources.Withheld != nil {
		to <- prometheus.MustNewConstMetric(c.withheld, prometheus.CounterValue, float64(c.sources.Withheld()))
	}
	if c.status == nil {
		return
	}
	gauge := func(d *prometheus.Desc, v float64, name string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, name)
	}
	s := c.status()
	for _, r := range s.Routes {
		gauge(c.running, float64(r.Running), r.Name)
		if r.Cache != nil {
			gauge(c.answers, float64(r.Cache.Entries), r.Name)
			gauge(c.answerBytes, float64(r.Cache.Bytes), r.Name)
			to <- prometheus.MustNewConstMetric(c.evicted, prometheus.CounterValue, float64(r.Cache.Evicted), r.Name)
		}
		for _, class := range r.Classes {
			to <- prometheus.MustNewConstMetric(c.waiting, prometheus.GaugeValue, float64(class.Waiting), r.Name, class.Class)
		}
	}
	c.limits(to, s)
	c.quotas(to, s)
	for name, t := range byTarget(s.Targets) {
		gauge(c.breaker, t.state, name)
		gauge(c.budget, t.budget, name)
		gauge(c.inFlight, t.inFlight, name)
		if t.permits > 0 {
			gauge(c.permits, t.permits, name)
		}
	}
}

// limits tells of limits by their names: those of several keys that share a name
// are one row, since keys are no labels.
func (c *statusCollector) limits(to chan<- prometheus.Metric, s holdfast.Status) {
	said, kept, blocked := map[[2]string]int64{}, map[string]int{}, map[string]int{}
	for _, l := range s.Limits {
		for decision, n := range map[string]int64{"admitted": l.Counts.Admitted, "refused": l.Counts.Refused, "full": l.Full, "shadow": l.Counts.Would, "spared": l.Counts.Spared} {
			said[[2]string{l.Name, decision}] += n
		}
		kept[l.Name] += l.Counts.Keys
		blocked[l.Name] += l.Counts.Blocked
	}
	for row, n := range said {
		to <- prometheus.MustNewConstMetric(c.decisions, prometheus.CounterValue, float64(n), row[0], row[1])
	}
	for name := range kept {
		to <- prometheus.MustNewConstMetric(c.kept, prometheus.GaugeValue, float64(kept[name]), name)
		to <- prometheus.MustNewConstMetric(c.blocked, prometheus.GaugeValue, float64(blocked[name]), name)
	}
	refused := map[string]int64{}
	for _, b := range s.Budgets {
		per, _, _ := strings.Cut(b.Name, " ")
		refused[per] += b.Refused
	}
	for per, n := range refused {
		to <- prometheus.MustNewConstMetric(c.overBudget, prometheus.CounterValue, float64(n), per)
	}
}

// quotas tells what providers allow. Models that callers name are no labels: of
// several the scarcest is shown.
func (c *statusCollector) quotas(to chan<- prometheus.Metric, s holdfast.Status) {
	type row struct{ target, key, limit string }
	scarcest := map[row]holdfast.QuotaStatus{}
	for _, t := range s.Targets {
		for _, q := range t.Quotas {
			at := row{t.Name, q.Key, q.Limit}
			if other, ok := scarcest[at]; !ok || float64(q.Left)/float64(q.Allowed) < float64(other.Left)/float64(other.Allowed) {
				scarcest[at] = q
			}
		}
	}
	for at, q := range scarcest {
		gauge := func(d *prometheus.Desc, v float64, labels ...string) {
			to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
		}
		gauge(c.allowed, float64(q.Allowed), at.target, at.key, at.limit)
		gauge(c.left, float64(q.Left), at.target, at.key, at.limit)
		gauge(c.reserved, float64(q.Reserved), at.target, at.key, at.limit)
		if q.Waste > 0 {
			gauge(c.waste, q.Waste, at.target, at.key)
		}
	}
}

type targetGauges struct{ state, budget, inFlight, permits float64 }

// byTarget puts the rows of one target together: one that passes the caller's
// model on has a circuit per model, and the worst of them is shown.
func byTarget(rows []holdfast.TargetStatus) map[string]targetGauges {
	all := map[string]targetGauges{}
	for _, row := range rows {
		g := all[row.Name]
		g.state = max(g.state, breakerState(row.Breaker))
		g.budget, g.inFlight, g.permits = row.RetryBudget, float64(row.InFlight), float64(row.Permits)
		all[row.Name] = g
	}
	return all
}

func breakerState(name string) float64 {
	switch name {
	case "half_open":
		return 1
	case "open", "forced_open":
		return 2
	}
	return 0
}
