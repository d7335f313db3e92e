package quota

import "time"

// bucket is one limit per minute. It refills without steps and is in debt below
// zero. Times are since the Account's origin.
type bucket struct {
	stated   int64   // the configured limit; 0: there is none
	told     int64   // the lower limit that the provider announces; 0: none is known
	rate     float64 // tokens a second
	depth    float64 // what it holds when full
	level    float64
	at       time.Duration // the level is that of then
	reserved int64
}

// limit is what the provider allows in a minute.
func (b *bucket) limit() int64 {
	if b.told > 0 {
		return min(b.told, b.stated)
	}
	return b.stated
}

// shape sets rate and depth; a bucket that was never used begins full.
func (b *bucket) shape(share float64, burst time.Duration) {
	fresh := b.depth == 0
	full := share * float64(b.limit())
	b.rate = full / 60
	b.depth = max(1, full*burst.Minutes())
	if fresh {
		b.level = b.depth
	}
	b.level = min(b.level, b.depth)
}

// fill brings the level up to now. After a 429 the flow grows from half to whole.
func (b *bucket) fill(now time.Duration, r ramp) {
	if now <= b.at {
		return
	}
	b.level = min(b.depth, b.level+b.rate*r.seconds(b.at, now))
	b.at = now
}

// needs is the level from which on n may be taken: what is more than the bucket
// holds goes when it is full.
func (b *bucket) needs(n int64) float64 { return min(float64(n), b.depth) }

// wait is the time until n may be taken; 0 is now. The bucket is filled.
func (b *bucket) wait(now time.Duration, n int64, r ramp) time.Duration {
	missing := b.needs(n) - b.level
	if missing <= crumb {
		return 0
	}
	from := max(b.at, now)
	return from - now + r.until(from, missing/b.rate) + 1 // rounded up
}

// crumb is what two roads to the same level may differ by, in tokens.
const crumb = 1e-6

// drain leaves nothing in the bucket, and nothing comes in before then.
func (b *bucket) drain(then time.Duration) {
	b.level = min(b.level, 0)
	b.at = max(b.at, then)
}

// refund gives back what was held and not charged; a negative n is what was
// charged and not held. While a 429 holds the bucket shut it pays debts and no
// more: all that comes back meanwhile would go out at once when the hold ends.
func (b *bucket) refund(now time.Duration, n int64) {
	most := b.depth
	if n > 0 && now < b.at {
		most = max(0, b.level)
	}
	b.level = min(most, b.level+float64(n))
}

// ramp is the flow after a 429: half at from, whole after rampTime. The zero
// ramp is over.
type ramp struct {
	from time.Duration
	on   bool
}

const rampTime = 10 * time.Second

// seconds is how many seconds of whole flow come in between two times.
func (r ramp) seconds(a, b time.Duration) float64 {
	return r.sum(b) - r.sum(a)
}

// sum is the integral of the flow up to t.
func (r ramp) sum(t time.Duration) float64 {
	if !r.on || t <= r.from {
		return t.Seconds()
	}
	in := min(t-r.from, rampTime).Seconds()
	return t.Seconds() - in/2 + in*in/(4*rampTime.Seconds())
}

// until is how long from a on it takes until so many seconds of whole flow have
// come in. While the ramp lasts it may be a little short: who asks too early asks
// again.
func (r ramp) until(a time.Duration, seconds float64) time.Duration {
	whole := time.Duration(min(seconds, 3600) * float64(time.Second))
	if !r.on || a >= r.from+rampTime {
		return whole
	}
	late := whole
	for range 8 { // the flow is between a half and one: each step halves what is missing
		late += time.Duration((seconds - r.seconds(a, a+late)) * float64(time.Second))
	}
	return max(late, whole)
}

// day counts requests in any 24 hours, by hours.
type day struct {
	limit int64
	hours [hours + 1]int64
	hour  int64 // of the newest count, since the origin
	sum   int64
}

const hours = 24

// turn forgets what is older than a day.
func (d *day) turn(now time.Duration) {
	hour := int64(now / time.Hour)
	for ; d.hour < hour && d.sum > 0; d.hour++ {
		slot := &d.hours[(d.hour+1)%(hours+1)]
		d.sum -= *slot
		*slot = 0
	}
	d.hour = max(d.hour, hour)
}

// wait is the time until a request is left; 0 is now.
func (d *day) wait(now time.Duration) time.Duration {
	if d.limit <= 0 || d.sum < d.limit {
		return 0
	}
	left := d.sum - d.limit + 1
	for h := d.hour - hours; h <= d.hour; h++ {
		if h < 0 {
			continue
		}
		if left -= d.hours[h%(hours+1)]; left <= 0 {
			return time.Duration(h+hours+1)*time.Hour - now
		}
	}
	return (hours + 1) * time.Hour
}

func (d *day) add(hour, n int64) {
	if hour < d.hour-hours || hour > d.hour {
		return // forgotten since
	}
	d.hours[hour%(hours+1)] += n
	d.sum += n
}

// tighten makes what is left at most remaining.
func (d *day) tighten(remaining int64) {
	if left := d.limit - d.sum; d.limit > 0 && remaining < left {
		d.add(d.hour, left-remaining)
	}
}
