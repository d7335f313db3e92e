package quota

import "slices"

const (
	remembered = 200 // answers whose lengths are kept
	enough     = 20  // answers below which nothing is concluded
	refresh    = 10  // answers after which the order is looked at again
	worthwhile = 0.5 // share of waste from which on a hint is given
)

// lengths remembers how long answers were, and what was charged for them.
type lengths struct {
	last  [remembered]length
	n     int               // answers seen
	sum   length            // of those kept
	order [remembered]int64 // the outputs, sorted, as of the last refresh
	have  int               // of order
}

// length is one answer, in tokens. guessed is the estimate of its input.
type length struct{ guessed, input, output, most, charged int64 }

// add remembers one answer.
func (l *lengths) add(a length) {
	at := l.n % remembered
	l.sum.output += a.output - l.last[at].output
	l.sum.input += a.input - l.last[at].input
	l.sum.guessed += a.guessed - l.last[at].guessed
	l.last[at] = a
	l.n++
	if l.n%refresh != 0 {
		return
	}
	l.have = min(l.n, remembered)
	for i := range l.have {
		l.order[i] = l.last[i].output
	}
	slices.Sort(l.order[:l.have])
}

// quantile returns the length that a share of the answers does not exceed;
// otherwise while too few are known.
func (l *lengths) quantile(q float64, otherwise int64) int64 {
	if l.have < enough {
		return otherwise
	}
	return l.order[min(l.have-1, int(q*float64(l.have)))]
}

// mean returns the average length; otherwise while too few are known.
func (l *lengths) mean(otherwise int64) int64 {
	if l.have < enough {
		return otherwise
	}
	return l.sum.output / int64(min(l.n, remembered))
}

// input corrects the estimate of a prompt by what the last ones turned out to be,
// at most by half or to the double: code and other scripts than Latin do not have
// four bytes to a token.
func (l *lengths) input(guess int64) int64 {
	if l.have < enough || l.sum.guessed == 0 {
		return guess
	}
	return int64(float64(guess) * min(max(float64(l.sum.input)/float64(l.sum.guessed), 0.5), 2))
}

// Hint says what a max_tokens costs that is far above what answers take, where
// the provider counts it and gives nothing back.
type Hint struct {
	MaxTokens int     // the usual max_tokens of the last answers
	Used      int     // what 99 of 100 answers stay within
	Waste     float64 // the share of the charged tokens that nobody used, 0.5 to 1
}

// Hint returns what would make the quota last longer; ok is false when there is
// nothing to say.
func (a *Account) Hint() (h Hint, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := &a.lengths
	if a.kind.TrueUp || a.buckets[Tokens].stated == 0 || l.have < enough {
		return Hint{}, false
	}
	kept := l.last[:min(l.n, remembered)]
	most := make([]int64, 0, len(kept))
	var used, charged int64
	for _, a := range kept {
		most = append(most, a.most)
		used += min(a.input+a.output, a.charged)
		charged += a.charged
	}
	slices.Sort(most)
	h = Hint{MaxTokens: int(most[len(most)/2]), Used: int(l.quantile(0.99, 0))}
	if charged > 0 {
		h.Waste = 1 - float64(used)/float64(charged)
	}
	return h, h.Waste >= worthwhile && h.MaxTokens > 2*h.Used
}
