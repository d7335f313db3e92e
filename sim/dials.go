package sim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/holdfast-gateway/holdfast/fault"
)

// Dials are the settings that can be turned while the provider runs. A zero field means
// the default beside it, and all defaults together are a provider that answers at once.
type Dials struct {
	HeaderDelay     time.Duration // until the status line; 0
	FirstTokenDelay time.Duration // from the headers to the first token; 0
	TokenInterval   time.Duration // between two tokens; 0
	Latency         string        // profile added to the delays, one of Profiles(); "instant"
	Scale           float64       // all delays of the provider times this, 0-1000; 1

	OutputTokens int    // length of an answer whose caller names no limit, 1-1000000; 20
	Seed         uint64 // of words, delays and chances; 0

	Fault            string  // done to every call instead of its model's own, a name of fault.Parse; none
	FaultProbability float64 // chance of that, 0-1; 1

	RequiredKey string // answer 401 to any other key; every key is good

	RequestsPerMinute int // refuse above with a true 429; no limit
	TokensPerMinute   int // input and reserved output; no limit
	Parallel          int // calls worked on at a time, the others wait without end; no limit

	// Accounting is whose way to count TokensPerMinute has, one of Accountings(),
	// with that provider's headers and with debts; default: the dialect's vendor's,
	// without what comes back.
	Accounting      string
	OutputPerMinute int     // Anthropic's own limit on output tokens; a fifth of TokensPerMinute
	CachedShare     float64 // part of each prompt that is read from a cache, 0-1; 0
	OutputSpread    float64 // sigma of the lognormal lengths of answers around OutputTokens, 0-3; 0

	// Slots makes the provider an engine with that many slots and one queue in
	// order of arrival: a prompt takes PrefillPerToken for each of its tokens, then
	// tokens come at TokenInterval, and when all slots are busy that takes
	// BatchSlowdown times as long on top. It works on after a caller has left, in
	// the queue too. No engine.
	Slots           int
	PrefillPerToken time.Duration // 0
	BatchSlowdown   float64       // 0-100; 0

	SlowShare  float64       // part of the calls that are ten times slower, 0-1; 0
	StallAfter time.Duration // when everything stops, after this dial or the next was turned; 0
	StallFor   time.Duration // for how long; not at all
}

// Validate reports everything that is wrong with d, not only the first thing.
func (d Dials) Validate() error {
	var errs []error
	report := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf("sim: "+format, args...))
		}
	}
	report(d.HeaderDelay < 0, "header_delay: %s is negative", d.HeaderDelay)
	report(d.FirstTokenDelay < 0, "first_token_delay: %s is negative", d.FirstTokenDelay)
	report(d.TokenInterval < 0, "token_interval: %s is negative", d.TokenInterval)
	report(!slices.Contains(Profiles(), d.profile()), "latency: no profile %q; there are %v", d.Latency, Profiles())
	report(!(d.Scale >= 0 && d.Scale <= 1000), "scale: %v is not within 0-1000", d.Scale)
	report(d.OutputTokens < 0 || d.OutputTokens > maxOutputTokens, "output_tokens: %d is not within 1-%d", d.OutputTokens, maxOutputTokens)
	report(!(d.FaultProbability >= 0 && d.FaultProbability <= 1), "fault_probability: %v is not within 0-1", d.FaultProbability)
	report(d.RequestsPerMinute < 0, "requests_per_minute: %d is negative", d.RequestsPerMinute)
	report(d.TokensPerMinute < 0, "tokens_per_minute: %d is negative", d.TokensPerMinute)
	report(d.Parallel < 0, "parallel: %d is negative", d.Parallel)
	report(d.Accounting != "" && billerNamed(d.Accounting) == nil, "accounting: no %q; there are %v", d.Accounting, Accountings())
	report(d.OutputPerMinute < 0, "output_per_minute: %d is negative", d.OutputPerMinute)
	report(!(d.CachedShare >= 0 && d.CachedShare <= 1), "cached_share: %v is not within 0-1", d.CachedShare)
	report(!(d.OutputSpread >= 0 && d.OutputSpread <= 3), "output_spread: %v is not within 0-3", d.OutputSpread)
	report(d.Slots < 0, "slots: %d is negative", d.Slots)
	report(d.PrefillPerToken < 0, "prefill_per_token: %s is negative", d.PrefillPerToken)
	report(!(d.BatchSlowdown >= 0 && d.BatchSlowdown <= 100), "batch_slowdown: %v is not within 0-100", d.BatchSlowdown)
	report(!(d.SlowShare >= 0 && d.SlowShare <= 1), "slow_share: %v is not within 0-1", d.SlowShare)
	report(d.StallAfter < 0, "stall_after: %s is negative", d.StallAfter)
	report(d.StallFor < 0, "stall_for: %s is negative", d.StallFor)
	if d.Fault != "" {
		_, err := fault.Parse(d.Fault)
		report(err != nil, "fault: %w", err)
	}
	return errors.Join(errs...)
}

const maxOutputTokens = 1_000_000

func (d Dials) profile() string {
	if d.Latency == "" {
		return "instant"
	}
	return d.Latency
}

func (d Dials) scaleOrOne() float64 {
	if d.Scale == 0 {
		return 1
	}
	return d.Scale
}

func (d Dials) scale(delay time.Duration) time.Duration {
	return time.Duration(math.Min(float64(delay)*d.scaleOrOne(), math.MaxInt64/2))
}

func (d Dials) outputTokens() int {
	if d.OutputTokens == 0 {
		return 20
	}
	return d.OutputTokens
}

func (d Dials) faultProbability() float64 {
	if d.FaultProbability == 0 {
		return 1
	}
	return d.FaultProbability
}

// dialsJSON is how Dials travel: durations as "250ms", the key only inwards.
type dialsJSON struct {
	HeaderDelay       string  `json:"header_delay"`
	FirstTokenDelay   string  `json:"first_token_delay"`
	TokenInterval     string  `json:"token_interval"`
	Latency           string  `json:"latency"`
	Scale             float64 `json:"scale"`
	OutputTokens      int     `json:"output_tokens"`
	Seed              uint64  `json:"seed"`
	Fault             string  `json:"fault"`
	FaultProbability  float64 `json:"fault_probability"`
	RequiredKey       *string `json:"required_key,omitempty"`
	KeyRequired       bool    `json:"key_required"` // told, never taken
	RequestsPerMinute int     `json:"requests_per_minute"`
	TokensPerMinute   int     `json:"tokens_per_minute"`
	Parallel          int     `json:"parallel"`
	Accounting        string  `json:"accounting"`
	OutputPerMinute   int     `json:"output_per_minute"`
	CachedShare       float64 `json:"cached_share"`
	OutputSpread      float64 `json:"output_spread"`
	Slots             int     `json:"slots"`
	PrefillPerToken   string  `json:"prefill_per_token"`
	BatchSlowdown     float64 `json:"batch_slowdown"`
	SlowShare         float64 `json:"slow_share"`
	StallAfter        string  `json:"stall_after"`
	StallFor          string  `json:"stall_for"`
}

func (d Dials) toJSON() dialsJSON {
	return dialsJSON{
		HeaderDelay:       d.HeaderDelay.String(),
		FirstTokenDelay:   d.FirstTokenDelay.String(),
		TokenInterval:     d.TokenInterval.String(),
		Latency:           d.profile(),
		Scale:             d.scaleOrOne(),
		OutputTokens:      d.outputTokens(),
		Seed:              d.Seed,
		Fault:             d.Fault,
		FaultProbability:  d.faultProbability(),
		KeyRequired:       d.RequiredKey != "",
		RequestsPerMinute: d.RequestsPerMinute,
		TokensPerMinute:   d.TokensPerMinute,
		Parallel:          d.Parallel,
		Accounting:        d.Accounting,
		OutputPerMinute:   d.OutputPerMinute,
		CachedShare:       d.CachedShare,
		OutputSpread:      d.OutputSpread,
		Slots:             d.Slots,
		PrefillPerToken:   d.PrefillPerToken.String(),
		BatchSlowdown:     d.BatchSlowdown,
		SlowShare:         d.SlowShare,
		StallAfter:        d.StallAfter.String(),
		StallFor:          d.StallFor.String(),
	}
}

// MarshalJSON writes all dials but the required key.
func (d Dials) MarshalJSON() ([]byte, error) { return json.Marshal(d.toJSON()) }

// String is the dials as JSON, so that a log line never holds the required key.
func (d Dials) String() string {
	b, err := d.MarshalJSON()
	if err != nil {
		return "sim: dials: " + err.Error() // a number that JSON cannot say
	}
	return string(b)
}

// turned returns d with the changes that the JSON object in r asks for; fields it does
// not name stay. An unknown field or a value that Validate refuses is an error.
func (d Dials) turned(r io.Reader) (Dials, error) {
	in := d.toJSON()
	decoder := json.NewDecoder(r)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&in); err != nil {
		return d, fmt.Errorf("sim: dials: %w", err)
	}
	if decoder.More() {
		return d, errors.New("sim: dials: more than one JSON value")
	}
	out, err := in.dials(d.RequiredKey)
	if err != nil {
		return d, err
	}
	return out, out.Validate()
}

func (in dialsJSON) dials(key string) (Dials, error) {
	if in.RequiredKey != nil {
		key = *in.RequiredKey
	}
	var errs []error
	duration := func(name, text string) time.Duration {
		d, err := time.ParseDuration(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("sim: %s: %q is not a duration such as \"250ms\"", name, text))
		}
		return d
	}
	return Dials{
		HeaderDelay:       duration("header_delay", in.HeaderDelay),
		FirstTokenDelay:   duration("first_token_delay", in.FirstTokenDelay),
		TokenInterval:     duration("token_interval", in.TokenInterval),
		Latency:           in.Latency,
		Scale:             in.Scale,
		OutputTokens:      in.OutputTokens,
		Seed:              in.Seed,
		Fault:             in.Fault,
		FaultProbability:  in.FaultProbability,
		RequiredKey:       key,
		RequestsPerMinute: in.RequestsPerMinute,
		TokensPerMinute:   in.TokensPerMinute,
		Parallel:          in.Parallel,
		Accounting:        in.Accounting,
		OutputPerMinute:   in.OutputPerMinute,
		CachedShare:       in.CachedShare,
		OutputSpread:      in.OutputSpread,
		Slots:             in.Slots,
		PrefillPerToken:   duration("prefill_per_token", in.PrefillPerToken),
		BatchSlowdown:     in.BatchSlowdown,
		SlowShare:         in.SlowShare,
		StallAfter:        duration("stall_after", in.StallAfter),
		StallFor:          duration("stall_for", in.StallFor),
	}, errors.Join(errs...)
}
