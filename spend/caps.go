package spend

import (
	"errors"
	"fmt"

	"github.com/holdfast-gateway/holdfast/call"
)

// ErrTooMuch reports a call that asks for more than one call may.
var ErrTooMuch = errors.New("spend: one call may not ask for so much")

// TooMuchError is an ErrTooMuch that knows what was too much.
type TooMuchError struct {
	Cap   string // max_tokens, max_choices, max_tools or max_body
	Asked int64  // 0 for max_tokens: the call named no limit
	Most  int64
}

func (e *TooMuchError) Error() string {
	if e.Asked == 0 {
		return fmt.Sprintf("spend: %s: no limit was named, at most %d is allowed", e.Cap, e.Most)
	}
	return fmt.Sprintf("spend: %s: %d asked for, at most %d is allowed", e.Cap, e.Asked, e.Most)
}

// Unwrap returns ErrTooMuch.
func (e *TooMuchError) Unwrap() error { return ErrTooMuch }

// Check looks at what one call asks for: a *TooMuchError for the first cap that
// it goes over. body is the length of the request body in bytes, below 0 when it
// is not known, which is over every cap.
func (c Config) Check(op call.Op, r *call.Request, body int64) error {
	over := func(name string, asked, most int64) error {
		return &TooMuchError{Cap: name, Asked: asked, Most: most}
	}
	switch {
	case c.MaxBody > 0 && (body < 0 || body > c.MaxBody):
		return over("max_body", body, c.MaxBody)
	case c.MaxChoices > 0 && r.Choices > c.MaxChoices:
		return over("max_choices", int64(r.Choices), int64(c.MaxChoices))
	case c.MaxTools > 0 && r.Tools > c.MaxTools:
		return over("max_tools", int64(r.Tools), int64(c.MaxTools))
	case c.MaxTokens <= 0 || !op.Generates():
		return nil
	case r.MaxTokens == 0 && r.MaxNamed == 0:
		return over("max_tokens", 0, int64(c.MaxTokens))
	case max(r.MaxTokens, r.MaxNamed) > c.MaxTokens:
		return over("max_tokens", int64(max(r.MaxTokens, r.MaxNamed)), int64(c.MaxTokens))
	}
	return nil
}
