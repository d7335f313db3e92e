package quota

import (
	"net/http"
	"strconv"
	"time"
)

// Headers takes what an answer's headers say of the limits, before End. It never
// raises what is left, nor a limit above the configured one; a lower limit stands
// until a later answer names another. What is negative, no number or contradicts
// itself is unknown, and an answer to an older request than the last one read says
// nothing.
func (r *Reservation) Headers(h http.Header) {
	a := r.account
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.seq <= a.newest || len(a.kind.Headers) == 0 {
		return
	}
	a.newest = r.seq
	now := time.Since(a.origin)
	for _, name := range a.kind.Headers {
		limit, remaining, ok := name.read(h)
		if !ok {
			continue
		}
		if name.Of == Day {
			a.day.turn(now)
			a.day.tighten(remaining)
			continue
		}
		if b := &a.buckets[name.Of]; b.stated > 0 {
			b.fill(now, a.ramp)
			a.tell(b, limit, remaining)
		}
	}
}

// tell takes a believable word of the provider's about one limit.
func (a *Account) tell(b *bucket, limit, remaining int64) {
	told := int64(0)
	if limit < b.stated && limit >= b.stated/absurd {
		told = limit
	}
	if told != b.told {
		b.told = told
		b.shape(a.c.Share, a.c.Burst)
	}
	b.level = min(b.level, float64(remaining))
}

// absurd is how many times lower than configured an announced limit may be before
// it is taken for another one.
const absurd = 100

// read returns what h says of one limit. Azure has sent -1 and 0 for what it does
// not know: without a positive limit beside it nothing is believed.
func (n header) read(h http.Header) (limit, remaining int64, ok bool) {
	limit, ok = number(h[n.Limit])
	if !ok || limit <= 0 {
		return 0, 0, false
	}
	remaining, ok = number(h[n.Remaining])
	return limit, remaining, ok && remaining >= 0 && remaining <= limit
}

func number(values []string) (int64, bool) {
	if len(values) == 0 {
		return 0, false
	}
	n, err := strconv.ParseInt(values[0], 10, 64)
	return n, err == nil && n <= ceiling
}
