package demo

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-gateway/holdfast/breaker"
	"github.com/holdfast-gateway/holdfast/sim"
)

// Report is what a play showed, as --json prints it. Attempts are those that the
// providers logged, failures those that callers saw. Times are in seconds unless
// a name says milliseconds.
type Report struct {
	OK      bool    `json:"ok"`
	Why     string  `json:"why,omitempty"` // what is not as it should be
	Version string  `json:"version"`
	Seconds float64 `json:"seconds"` // of traffic
	Outage  float64 `json:"outage_seconds"`
	Rate    int     `json:"rate"` // calls per second in each arm
	Seed    uint64  `json:"seed"`

	Gateway string `json:"gateway"` // its address for callers
	Admin   string `json:"admin"`   // and for operators

	Protected   Arm `json:"protected"`   // callers of the gateway
	Unprotected Arm `json:"unprotected"` // callers of a provider

	Primary Provider `json:"primary"`
	Backup  Provider `json:"backup"`
	Alone   Provider `json:"alone"` // of the unprotected arm

	Circuit Circuit `json:"circuit"` // of the primary
	Checks  []Check `json:"checks"`
}

// Arm is what one group of callers saw, and what it cost at the providers.
type Arm struct {
	Calls            int            `json:"calls"`
	Streamed         int            `json:"streamed"`
	Failed           int            `json:"failed"`
	FailedStreamed   int            `json:"failed_streamed"`
	FailedInOutage   int            `json:"failed_in_outage"` // calls begun while it lasted
	Failures         map[string]int `json:"failures"`         // by what was wrong
	MedianMillis     float64        `json:"median_ms"`        // to the end of a good answer
	P95Millis        float64        `json:"p95_ms"`
	Attempts         int            `json:"attempts"`
	AttemptsPerCall  float64        `json:"attempts_per_call"`
	AttemptsAtMost   int            `json:"attempts_at_most"` // for one call
	AnsweredByBackup int            `json:"answered_by_backup"`
}

// Provider is what one provider logged.
type Provider struct {
	Name     string `json:"name"`
	Attempts int    `json:"attempts"`
	Before   int    `json:"before_outage"`
	During   int    `json:"in_outage"`
	After    int    `json:"after_outage"`
	Refused  int    `json:"refused"`  // with 503
	Answered int    `json:"answered"` // with a whole answer
}

// Circuit tells how the primary's circuit went. A nil time means that it did not
// happen.
type Circuit struct {
	Opened         *float64 `json:"opened_after"`           // the outage began
	Cause          string   `json:"cause"`                  // why it opened
	Failures       int      `json:"failures_before_opened"` // logged until then
	ProbesInOutage int      `json:"probes_in_outage"`       // logged after it had opened
	GoodProbe      *float64 `json:"good_probe_after"`       // the provider worked again
	Closed         *float64 `json:"closed_after"`           // the provider worked again
	FullShare      *float64 `json:"full_share_after"`       // the circuit had closed: the backup's last call
	Moves          []Move   `json:"moves"`

	inARow int // failures in a row that open it
}

// Move is one change of a circuit.
type Move struct {
	At    float64 `json:"at"` // from the beginning of the play
	From  string  `json:"from"`
	To    string  `json:"to"`
	Cause string  `json:"cause"`
}

// report tells what the play showed, once everybody's books are closed.
func (p *play) report(ctx context.Context) Report {
	r := agreed(ctx, func(ctx context.Context) (Report, error) {
		r := p.count()
		var err error
		r.Checks, err = p.compare(ctx, &r)
		return r, err
	})
	r.Why = r.verdict()
	r.OK = r.Why == ""
	return r
}

// count joins the logs with what callers saw, as they are now.
func (p *play) count() Report {
	r := Report{
		Version: p.config.Version, Seconds: seconds(p.ended.Sub(p.began)), Outage: seconds(p.repaired.Sub(p.broken)),
		Rate: p.config.Rate, Seed: p.config.Seed, Gateway: p.stage.gatewayURL(), Admin: p.stage.adminURL(),
	}
	primary, backup, alone := p.stage.primary.Log(), p.stage.backup.Log(), p.stage.alone.Log()
	r.Primary, r.Backup, r.Alone = p.provider(primaryName, primary), p.provider(backupName, backup), p.provider(aloneName, alone)
	r.Protected, r.Unprotected = p.arm(p.protected, primary, backup), p.arm(p.without, alone)
	for _, a := range backup {
		if answered(a) {
			r.Protected.AnsweredByBackup++
		}
	}
	r.Circuit = p.circuit(primary, backup)
	return r
}

// verdict says what is not as it should be; "" if nothing is.
func (r *Report) verdict() string {
	var why []string
	if n := r.Protected.Failed; n > 0 {
		why = append(why, fmt.Sprintf("%d of %d calls through Holdfast failed (%s), want none.", n, r.Protected.Calls, listed(r.Protected.Failures)))
	}
	if n := r.Unprotected.Failed; n <= enoughFailures {
		why = append(why, fmt.Sprintf("Only %d calls without Holdfast failed, want more than %d: there was no outage to survive.", n, enoughFailures))
	}
	for _, c := range r.Checks {
		if !c.OK {
			why = append(why, c.wrong())
		}
	}
	return strings.Join(why, " ")
}

// answered reports whether an attempt was a whole good answer.
func answered(a sim.Attempt) bool { return a.Completed && a.Status == http.StatusOK }

func (p *play) provider(name string, log []sim.Attempt) Provider {
	out := Provider{Name: name, Attempts: len(log)}
	for _, a := range log {
		switch {
		case a.Received.Before(p.broken):
			out.Before++
		case a.Received.Before(p.repaired):
			out.During++
		default:
			out.After++
		}
		if a.Status == http.StatusServiceUnavailable {
			out.Refused++
		}
		if answered(a) {
			out.Answered++
		}
	}
	return out
}

func (p *play) arm(a *arm, logs ...[]sim.Attempt) Arm {
	calls, results := a.seen()
	out := Arm{Calls: calls, Failures: map[string]int{}}
	var times []time.Duration
	for _, r := range results {
		if r.streamed {
			out.Streamed++
		}
		if r.failure == "" {
			times = append(times, r.ended.Sub(r.began))
			continue
		}
		out.Failed++
		out.Failures[r.failure]++
		if r.streamed {
			out.FailedStreamed++
		}
		if !r.began.Before(p.broken) && r.began.Before(p.repaired) {
			out.FailedInOutage++
		}
	}
	out.MedianMillis, out.P95Millis = quantile(times, .5), quantile(times, .95)
	tries := map[string]int{}
	for _, a := range slices.Concat(logs...) {
		out.Attempts++
		tries[a.Tag]++
		out.AttemptsAtMost = max(out.AttemptsAtMost, tries[a.Tag])
	}
	out.AttemptsPerCall = math.Round(1000*float64(out.Attempts)/float64(max(1, calls))) / 1000
	return out
}

// circuit tells the story of the primary's circuit from its log and the moments
// at which the gateway says that it changed.
func (p *play) circuit(primary, backup []sim.Attempt) Circuit {
	c := Circuit{Moves: []Move{}, inARow: p.config.timing.breaker.WithDefaults().Consecutive}
	var opened, closed time.Time
	for _, m := range p.stage.moves.of(primaryName) {
		c.Moves = append(c.Moves, Move{At: seconds(m.at.Sub(p.began)), From: m.from, To: m.to, Cause: m.why})
		switch {
		case m.to == breaker.Open.String() && opened.IsZero():
			opened, c.Cause = m.at, m.why
		case m.to == breaker.Closed.String() && m.at.After(p.repaired):
			closed = m.at
		}
	}
	if opened.IsZero() {
		return c
	}
	c.Opened = after(opened, p.broken)
	for _, a := range primary {
		switch {
		case a.Received.Before(p.broken):
		case !a.Received.After(opened):
			c.Failures++
		case a.Received.Before(p.repaired):
			c.ProbesInOutage++
		case c.GoodProbe == nil && answered(a):
			c.GoodProbe = after(a.Received, p.repaired)
		}
	}
	if !closed.IsZero() {
		c.Closed, c.FullShare = after(closed, p.repaired), p.fullShare(closed, backup)
	}
	return c
}

// fullShare is when the backup was asked for the last time: from then on the
// primary had everything. It is nil if the play ended too early to tell.
func (p *play) fullShare(closed time.Time, backup []sim.Attempt) *float64 {
	last := closed
	for _, a := range backup {
		last = later(last, a.Received)
	}
	if !p.settled {
		return nil
	}
	return after(last, closed)
}

func after(at, origin time.Time) *float64 {
	s := seconds(at.Sub(origin))
	return &s
}

// seconds are rounded to milliseconds: nothing here is known better.
func seconds(d time.Duration) float64 { return d.Round(time.Millisecond).Seconds() }

// quantile returns the q-th part of times in milliseconds; 0 of none.
func quantile(times []time.Duration, q float64) float64 {
	if len(times) == 0 {
		return 0
	}
	slices.Sort(times)
	at := times[min(len(times)-1, int(q*float64(len(times))))]
	return float64(at.Round(100*time.Microsecond).Microseconds()) / 1000
}
