package holdfast

import (
	"time"

	"github.com/holdfast-gateway/holdfast/cache"
	"github.com/holdfast-gateway/holdfast/spend"
)

// Status is what a Transport knows of itself at one moment. It is a copy.
type Status struct {
	Routes  []RouteStatus  `json:"routes"`
	Targets []TargetStatus `json:"targets"`
	Limits  []LimitStatus  `json:"limits,omitempty"`
	Budgets []spend.Status `json:"budgets,omitempty"` // named "key NAME", "tenant NAME" or "route NAME"
}

// RouteStatus is one route's share of a Status. Counts are since the Transport
// was made.
type RouteStatus struct {
	Name     string          `json:"name"`
	Running  int             `json:"running"`            // calls inside, to the end of their bodies
	Waiting  int             `json:"waiting"`            // calls in the waiting room
	Paused   bool            `json:"paused,omitempty"`   // nobody goes in
	Draining bool            `json:"draining,omitempty"` // nobody may come
	Classes  []QueueStatus   `json:"classes,omitempty"`  // of the waiting room, the most important first
	Calls    int64           `json:"calls"`              // calls ended
	OK       int64           `json:"ok"`                 // of these with class ok
	Refused  int64           `json:"refused"`            // answered by Holdfast itself, not by a provider
	Cache    *cache.Contents `json:"cache,omitempty"`    // what it keeps; nil without a cache
}

// QueueStatus is one class's share of a waiting room. Refusals are counted since
// the Transport was made.
type QueueStatus struct {
	Class    string `json:"class"`              // critical, high, normal or batch
	Waiting  int    `json:"waiting"`            // calls in the waiting room
	Standing bool   `json:"standing,omitempty"` // the queue does not shrink: of some tenant the newest calls go first
	Full     int64  `json:"refused_full"`       // refused: too many were waiting
	Timeout  int64  `json:"refused_timeout"`    // refused: the wait was too long, or would have been
	Draining int64  `json:"refused_draining"`   // refused: the room was draining
}

// TargetStatus is one target's (and model's) share of a Status.
type TargetStatus struct {
	Name         string           `json:"name"`
	Provider     string           `json:"provider"`
	Model        string           `json:"model,omitempty"`
	Breaker      string           `json:"breaker"` // closed, half_open, open, forced_open, forced_closed
	OpenUntil    time.Time        `json:"open_until,omitzero"`
	InFlight     int              `json:"in_flight"`
	Permits      int              `json:"permits"`                // 0: unlimited; of an adaptive limit, now
	Adaptive     *AdaptiveStatus  `json:"adaptive,omitempty"`     // nil: the limit is static
	EjectedUntil time.Time        `json:"ejected_until,omitzero"` // it shares its place, and rests because it alone failed
	RetryBudget  float64          `json:"retry_budget"`           // share left, 0 to 1
	Attempts     int64            `json:"attempts"`               // attempts ended
	Classes      map[string]int64 `json:"classes"`                // attempts ended by class
	Keys         []KeyStatus      `json:"keys,omitempty"`
	Quotas       []QuotaStatus    `json:"quotas,omitempty"` // the provider's limits, by key, model and limit
}

// AdaptiveStatus is what a limit that finds out what its target bears goes by.
type AdaptiveStatus struct {
	Min   int     `json:"min"`
	Max   int     `json:"max"`
	Ratio float64 `json:"first_token_ratio,omitempty"` // usual time to a first token lately, by what it is without a queue; 0 unknown
}

// KeyStatus is one credential's state; never the credential.
type KeyStatus struct {
	Name         string    `json:"name"`
	PausedUntil  time.Time `json:"paused_until,omitzero"`
	EjectedUntil time.Time `json:"ejected_until,omitzero"`
	Reason       string    `json:"reason,omitempty"`
}
