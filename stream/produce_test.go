package stream

import (
	"fmt"
	"strings"
	"testing"

	"github.com/holdfast-gateway/holdfast/call"
)

func TestTheOutputIsEstimatedWithoutItsWrapping(t *testing.T) {
	words := strings.Fields(strings.Repeat("the answer holds so many tokens that they make a difference ", 50))
	var p produce
	for _, w := range words {
		p.note(call.FrameContent, len(fmt.Sprintf("data: {\"id\":\"chatcmpl-1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":%q}}]}\n\n", w+" ")), false)
	}
	p.note(call.FrameEnd, len("data: [DONE]\n\n"), false)
	if got := p.tokens(false); got < len(words) || got > 2*len(words) {
		t.Fatalf("estimated %d tokens for %d words, want one or two each", got, len(words))
	}
	var none produce
	if got := none.tokens(false); got != 0 {
		t.Fatalf("nothing came: %d tokens", got)
	}
	var whole produce
	whole.note(call.FrameEnd, 4000, true)
	if got := whole.tokens(true); got != 1000 {
		t.Fatalf("a whole answer of 4,000 bytes: %d tokens, want 1,000", got)
	}
}
