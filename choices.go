package holdfast

import (
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"net/http"
	"slices"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/target"
	"github.com/holdfast-gateway/holdfast/timeout"
)

// Shift moves a share of a route's calls to another of its targets: to try a
// model or to leave a provider step by step. A conversation is moved as a whole,
// as long as the process lives. Calls that have to stay at one account, or whose
// caller wants no fallback, are not moved. The zero value moves nothing.
type Shift struct {
	To    string  // name of the target that is asked first
	Share float64 // of the calls, above 0 and up to 1
}

// Validate reports everything that is wrong with s, not only the first thing.
func (s Shift) Validate() error {
	var errs []error
	if s.Share > 1 || s.Share != s.Share {
		errs = append(errs, fmt.Errorf("share: %g is more than 1", s.Share))
	}
	if s.To == "" && s.Share > 0 {
		errs = append(errs, errors.New("to: the target is missing"))
	}
	if s.To != "" && s.Share == 0 {
		errs = append(errs, errors.New("share: how many of the calls is missing"))
	}
	return errors.Join(errs...)
}

// within reports what is wrong with s in a route with these targets.
func (s Shift) within(targets []Target) error {
	if err := s.Validate(); err != nil || s.To == "" {
		return err
	}
	if !slices.ContainsFunc(targets, func(t Target) bool { t.fill(); return t.Name == s.To }) {
		return fmt.Errorf("to: no target of this route is named %q", s.To)
	}
	return nil
}

// arrange orders the targets that may answer the call.
func (in *incoming) arrange(able []*call.Target) {
	asked := target.Asked{Model: in.Request.Model, Targets: able, Load: in.load}
	shift := in.route.Shift
	sticks := in.house.config.Health.Affinity >= 0 && plural(able)
	if sticks || shift.Share > 0 {
		in.talk = in.conversation()
	}
	if sticks {
		in.talkTarget, in.talkKey = in.house.memory.pool.Affine(in.talk)
		asked.Prefer = in.talkTarget
	}
	if shift.Share >= 1 || shift.Share > 0 && in.fate() < shift.Share {
		in.shifted, asked.First = true, shift.To
	}
	in.state.Targets = in.house.memory.pool.OrderFor(asked, in.targetRoom[:0])
}

// plural reports whether it matters who answers a conversation: some target has
// several keys, or several share a place.
func plural(targets []*call.Target) bool {
	for i, t := range targets {
		if len(t.Keys) > 1 || t.Weight > 0 && i > 0 && targets[i-1].Weight > 0 {
			return true
		}
	}
	return false
}

// load is how many attempts a target has in flight.
func (in *incoming) load(t *call.Target) int { return in.route.byTarget[t].limit.InFlight() }

// fate is a number in [0, 1) that is the same for all calls of a conversation.
func (in *incoming) fate() float64 {
	if in.talk == 0 {
		return in.house.memory.rand()
	}
	return float64(in.talk) / (1 << 64)
}

// prefers returns the name of the key that the conversation knows at a target.
func (in *incoming) prefers(t *call.Target) string {
	if in.talkTarget != t.Name {
		return ""
	}
	return in.talkKey
}

// remember notes who answered the conversation.
func (s *sending) remember() {
	if s.in.talk == 0 {
		return
	}
	key := ""
	if s.upstream.Key != nil {
		key = s.upstream.Key.Name
	}
	s.in.house.memory.pool.Converse(s.in.talk, s.upstream.Target.Name, key)
}

// asPlanned reports whether a target answers in the place that its route gives
// it, and not because another could not.
func (in *incoming) asPlanned(t *call.Target) bool {
	first := in.primary()
	if t == first || in.shifted && t.Name == in.route.Shift.To {
		return true
	}
	if first == nil || first.Weight == 0 {
		return false
	}
	for _, other := range in.route.targets[slices.Index(in.route.targets, first):] {
		if other.Weight == 0 {
			return false
		}
		if other == t {
			return true
		}
	}
	return false
}

// talks is the seed of the digests of conversations: they are of use to nobody
// but this process.
var talks = maphash.MakeSeed()

// conversation is a digest of what stays the same in all calls of a conversation:
// its prompt_cache_key, if it stands before what is said, else what is said up to
// the first words of the user. It is 0 for what is none. Markers for caches do not
// count, since they move.
func (in *incoming) conversation() uint64 {
	if !in.guarded || in.Op != call.OpChat && in.Op != call.OpResponses && in.Op != call.OpMessages {
		return 0
	}
	pass := call.PassOf(in.Body)
	if !pass.Enter('{') {
		return 0
	}
	for name := pass.Key(); name != nil; name = pass.Key() {
		switch string(name) {
		case "prompt_cache_key":
			if key := pass.Value(); key.Filled() {
				return digest(0, key)
			}
		case "messages", "input":
			return opening(&pass)
		default:
			if pass.Value() == nil {
				return 0
			}
		}
	}
	return 0
}

// opening is the digest of a list of messages up to the first of the user's, or
// of a text.
func opening(pass *call.Pass) (id uint64) {
	if !pass.Enter('[') {
		return digest(0, pass.Value())
	}
	for pass.Element() {
		said := pass.Value()
		_ = said.Strings(func(_, key []byte, s call.Value) {
			if string(key) == "text" || string(key) == "content" {
				id = digest(id, s)
			}
		})
		if said.Get("role").Is("user") {
			break
		}
	}
	return id
}

func digest(so uint64, more call.Value) uint64 {
	return max(1, so*0x9E3779B97F4A7C15^maphash.Bytes(talks, more)) // 0 is none
}

// observeEnd tells an adaptive limit of an attempt without a first token: that it
// was refused, or for how long nothing came. Of answers that are not streamed
// nobody sees it.
func (s *sending) observeEnd(o call.Outcome) {
	limit, tokens := s.post.limit, s.in.Request.InputTokens
	switch {
	case refusedForCapacity(o):
		limit.Refused()
	case !s.in.guarded:
	case o.Class == call.Timeout && !o.Committed && s.in.Request.Stream && o.Clock != timeout.ClockCommitBy:
		limit.FirstToken(tokens, o.Duration)
	case o.Class == call.OK && !s.in.Request.Stream:
		limit.FirstToken(tokens, 0)
	}
}

// refusedForCapacity reports whether a target refused because it had too much to
// do at once. A 429 that names a wait is about a rate, and pauses the key.
func refusedForCapacity(o call.Outcome) bool {
	return o.Class == call.Overloaded || o.Status == http.StatusServiceUnavailable || o.Class == call.Throttled && !o.HasWait
}

// ratioOf rounds a ratio for people.
func ratioOf(r float64) float64 { return math.Round(r*100) / 100 }
