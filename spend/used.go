package spend

import "github.com/holdfast-gateway/holdfast/call"

// Estimate is what a call is expected to use; see call.Request.Expected.
func Estimate(op call.Op, r *call.Request) Tokens {
	input, output := r.Expected(op)
	return Tokens{Input: input, Output: output}
}

// Used is what an attempt used, and whether its provider reported what cannot
// be. A report that is odd, missing or empty is made up for by the estimate, in
// which hidden says that the model thinks where nobody sees it: then all the
// output that the call allows is taken for used.
func Used(op call.Op, r *call.Request, o *call.Outcome, hidden bool) (t Tokens, odd bool) {
	if o.Billed() == call.BilledNo {
		return Tokens{}, o.Usage.Odd
	}
	if op == call.OpCountTokens { // free at every provider
		return Tokens{}, o.Usage.Odd
	}
	u, guess := o.Usage, guessed(op, r, o, hidden)
	if !u.Known || u.Odd {
		return Tokens{Input: max(guess.Input, int64(u.Input)), Output: max(guess.Output, int64(u.Output))}, u.Odd
	}
	t = Tokens{Input: int64(u.Input), Output: int64(u.Output), Cached: int64(u.Cached)}.whole()
	if t.Input == 0 {
		t.Input = guess.Input
	}
	if t.Output == 0 {
		t.Output = guess.Output
	}
	return t, false
}

// guessed is what an attempt used as far as we can see.
func guessed(op call.Op, r *call.Request, o *call.Outcome, hidden bool) Tokens {
	t := Tokens{Input: int64(r.InputTokens)}
	if op == call.OpEmbeddings {
		return t
	}
	t.Output = int64(o.Produced)
	if hidden && !o.Usage.Known {
		t.Output = max(t.Output, Estimate(op, r).Output)
	}
	return t
}
