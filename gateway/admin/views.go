package admin

import (
	"time"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/gateway/explain"
)

// Status is the whole gateway at one moment.
type Status struct {
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	Ready   bool      `json:"ready" doc:"takes calls; false while it drains"`
	Config  File      `json:"config"`
	holdfast.Status
	Failures   []explain.Summary `json:"recent_failures" doc:"the last 10 calls that ended without a true answer, the newest first"`
	Remembered explain.Counts    `json:"remembered" doc:"calls that can be explained"`
}

// File is the configuration file.
type File struct {
	File   string    `json:"file"`
	Loaded time.Time `json:"loaded" doc:"when the one in force was"`
	Digest string    `json:"digest,omitempty" doc:"SHA-256 of the one in force"`
	Error  string    `json:"error,omitempty" doc:"why a newer one was refused"`
}

// Targets are the targets of all routes.
type Targets struct {
	Targets []holdfast.TargetStatus `json:"targets"`
}

// Breakers are the circuits of all targets.
type Breakers struct {
	Breakers []Breaker `json:"breakers"`
}

// Breaker is the circuit of one target.
type Breaker struct {
	Target    string    `json:"target"`
	Provider  string    `json:"provider"`
	Model     string    `json:"model,omitempty"`
	State     string    `json:"state" doc:"closed, half_open, open, forced_open, forced_closed; of a target with several models the worst"`
	OpenUntil time.Time `json:"open_until,omitzero" doc:"then it is probed"`
	Hand      *Hand     `json:"by_hand,omitempty" doc:"what an operator did to it and still holds"`
}

// Hand is what an operator did to a circuit.
type Hand struct {
	Action string    `json:"action" doc:"open or close"`
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until,omitzero" doc:"absent: until another action"`
}

// Move is the body of an action on a circuit.
type Move struct {
	Reason string `json:"reason,omitempty" doc:"one line of at most 200 characters for logs and other operators; required to open or close"`
	For    string `json:"for,omitempty" doc:"how long, as 30m or 2h, at most 720h; absent: until another action. After open it is probed, after close it is reset"`
}

// Queues are the waiting rooms of all routes.
type Queues struct {
	Queues []holdfast.RouteStatus `json:"queues"`
}

// Requests are recent calls.
type Requests struct {
	Requests   []explain.Summary `json:"requests" doc:"the newest first"`
	Remembered explain.Counts    `json:"remembered"`
}

// Effective is the configuration in force.
type Effective struct {
	File
	Effective any `json:"effective" doc:"every value, secrets masked"`
}

// Draining says that the end was asked for.
type Draining struct {
	Draining bool `json:"draining"`
}

// Version names the binary.
type Version struct {
	Version string    `json:"version"`
	Go      string    `json:"go"`
	Started time.Time `json:"started"`
}
