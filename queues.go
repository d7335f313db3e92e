package holdfast

import (
	"cmp"
	"fmt"
	"time"

	"github.com/holdfast-gateway/holdfast/admission"
	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/spend"
)

// ticket is what the call shows at the door of its route.
func (in *incoming) ticket() admission.Ticket {
	t := admission.Ticket{Arrived: in.Arrived, CommitBy: in.CommitBy, Ready: in.ready, Call: in, Class: in.class(), Tenant: cmp.Or(in.Tenant, in.who.key)}
	if in.guarded {
		t.Cost = spend.Estimate(in.Op, &in.Request).Sum()
	}
	return t
}

// class is the call's in the waiting room: its own priority's, else the route's.
// A caller may lower it, by a header; what raises it is not the caller's to say.
func (in *incoming) class() admission.Class {
	if in.Priority == 0 {
		in.Priority = in.route.Priority
	}
	class := admission.ClassOf(in.Priority)
	if asked := in.req.Header[headerPriority]; len(asked) == 1 {
		if lower, err := admission.ParseClass(asked[0]); err == nil && lower < class {
			in.Priority, class = lower.Priority(), lower
		}
	}
	return class
}

// Needs estimates how long an answer takes to begin: as long as it usually does
// at the target where that is shortest; 0 when one is not known.
func (in *incoming) Needs() (least time.Duration) {
	for i, t := range in.state.Targets {
		typical := in.house.memory.pool.Typical(t.Name, in.model(t))
		if i == 0 || typical < least {
			least = typical
		}
	}
	return least
}

// Rests returns for how long no target can take the call because its provider
// said so; 0 when one can, or nobody knows.
func (in *incoming) Rests() (least time.Duration) {
	some := false
	for _, t := range in.state.Targets {
		p := in.route.byTarget[t]
		if ok, _ := p.breaker(in.model(t)).Peek(); !ok {
			continue // nobody waits for it
		}
		if rest := in.resting(p, in.model(t)); !some || rest < least {
			least, some = rest, true
		}
	}
	return least
}

// resting is how long a target's keys rest: the key that does so shortest, and
// the quota that is shut shortest.
func (in *incoming) resting(p *post, model string) time.Duration {
	var others []*call.Key
	shut := time.Duration(-1)
	look := func(k *call.Key) {
		if in.spends(p) {
			if hold := p.account(k, model).Rests(); shut < 0 || hold < shut {
				shut = hold
			}
		}
	}
	if len(p.target.Keys) == 0 {
		look(nil)
	}
	for i := range p.target.Keys {
		if k := &p.target.Keys[i]; in.pinKey == "" || in.pinKey == k.Name {
			look(k)
		} else {
			others = append(others, k)
		}
	}
	_, pause, _ := in.house.memory.pool.Key(p.target, model, "", others)
	return max(pause, shut, 0)
}

// Queue moves the waiting room of a route by hand: action is "pause" (nobody goes
// in; calls wait as long as they may), "drain" (newcomers are refused, the others
// go on) or "resume", which ends both. A restart forgets it, Update does not. It
// returns an error for an unknown route or action.
func (t *Transport) Queue(route, action string) error {
	m := t.memory
	m.mu.Lock()
	d := m.doors[route]
	m.mu.Unlock()
	if d == nil {
		return fmt.Errorf("holdfast: no route is named %q", route)
	}
	switch action {
	case "pause":
		d.Pause()
	case "drain":
		d.Drain()
	case "resume":
		d.Resume()
	default:
		return fmt.Errorf("holdfast: queue action %w", oneOf(action, "pause", "drain", "resume"))
	}
	return nil
}

// status is a route's share of a Status.
func (n *tally) status(name string, s admission.Snapshot) RouteStatus {
	r := RouteStatus{Name: name, Running: s.Running, Waiting: s.Waiting, Paused: s.Paused, Draining: s.Draining,
		Calls: n.calls.Load(), OK: n.ok.Load(), Refused: n.refused.Load()}
	for _, c := range s.Classes {
		r.Classes = append(r.Classes, QueueStatus{Class: c.Class.String(), Waiting: c.Waiting, Standing: c.Standing,
			Full: c.Full, Timeout: c.Timeout, Draining: c.Draining})
	}
	return r
}
