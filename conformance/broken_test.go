package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/openai/openai-go/v3/packages/ssestream"
)

// breaks are the ways in which a stream ends early, how many of the sixty tokens
// come before, and the code that we give to it; "" where the provider's own
// words are told.
var breaks = []struct {
	fault  string
	tokens int
	code   string
}{
	{"cut-after-40", 40, "upstream_cut"},
	{"cut-clean-after-5", 5, "upstream_unterminated"},
	{"stall-after-20", 20, "upstream_timeout"},
	{"bad-event-10", 9, "upstream_malformed"},
	{"no-done", 60, "upstream_unterminated"},
	{"error-after-10", 10, ""},
}

// heard is what a program saw of a stream that broke.
type heard struct {
	text   string // of its deltas
	tokens int    // deltas with text
	ended  bool   // the SDK was given the dialect's terminator
	failed int    // response.failed events
	err    error
}

// A listener streams one answer of a model through an SDK.
type listener struct {
	name string
	hear func(ctx context.Context, w way, model string) heard
}

var listeners = []listener{{"chat", hearChat}, {"responses", hearResponse}, {"messages", hearMessage}}

func hearChat(ctx context.Context, w way, model string) (h heard) {
	client := openaiClient(w)
	chunks, err := gather(client.Chat.Completions.NewStreaming(ctx, chatParams(model, question)))
	for _, c := range chunks {
		for _, choice := range c.Choices {
			h.add(choice.Delta.Content)
		}
	}
	h.err = err
	return h
}

func hearResponse(ctx context.Context, w way, model string) (h heard) {
	client := openaiClient(w)
	events, err := gather(client.Responses.NewStreaming(ctx, responseParams(model, question)))
	for _, e := range events {
		switch e.Type {
		case "response.output_text.delta":
			h.add(e.Delta)
		case "response.completed", "response.incomplete":
			h.ended = true
		case "response.failed":
			h.failed++
			if e.Response.Status != "failed" || e.Response.Error.Message == "" {
				h.failed = -100 // a client that waits for it would learn nothing
			}
		}
	}
	h.err = err
	return h
}

func hearMessage(ctx context.Context, w way, model string) (h heard) {
	client := anthropicClient(w)
	events, err := gatherMessages(client.Messages.NewStreaming(ctx, messageParams(model, question)))
	for _, e := range events {
		h.add(e.Delta.Text)
		h.ended = h.ended || e.Type == "message_stop"
	}
	h.err = err
	return h
}

func (h *heard) add(text string) {
	h.text += text
	if text != "" {
		h.tokens++
	}
}

// TestABrokenStreamIsAnErrorToEverySDK: every token that came is heard, no
// terminator is, and the program gets an error. Directly, some of these look
// like success.
func TestABrokenStreamIsAnErrorToEverySDK(t *testing.T) {
	_, provider := startSim(t)
	var all sync.WaitGroup // they mostly wait
	defer all.Wait()
	for _, w := range throughHoldfast(t, provider, short) {
		for _, l := range listeners {
			all.Go(func() { t.Run(slug(l.name+" through "+w.name), func(t *testing.T) { l.hearBreaks(t, w) }) })
		}
	}
}

func (l listener) hearBreaks(t *testing.T, w way) {
	whole := l.hear(t.Context(), w, "sim/ok")
	if whole.err != nil || whole.tokens != 60 || l.name != "chat" && !whole.ended {
		t.Fatalf("a sound stream: %+v", whole)
	}
	for _, b := range breaks {
		if b.fault == "no-done" && w.lenient {
			continue // an unknown host may leave the terminator out
		}
		if problem := l.check(l.hear(t.Context(), w, "sim/"+b.fault), whole, b.tokens, b.code); problem != "" {
			t.Errorf("%s: %s", b.fault, problem)
		}
	}
}

func (l listener) check(h, whole heard, tokens int, code string) string {
	switch {
	case h.err == nil:
		return "the program was told success"
	case h.ended:
		return "the program was given the terminator of a complete stream"
	case h.tokens != tokens || !strings.HasPrefix(whole.text, h.text):
		return fmt.Sprintf("%d tokens came before, want %d", h.tokens, tokens)
	case l.name == "responses" && h.failed != 1:
		return fmt.Sprintf("%d sound response.failed events, want 1", h.failed)
	}
	return l.checkError(h.err, code)
}

// checkError holds what an SDK raised: an error of the API with our code or the
// provider's words, not one of the connection.
func (l listener) checkError(err error, code string) string {
	var api *anthropic.Error
	var said *ssestream.StreamError
	switch {
	case l.name == "messages" && errors.As(err, &api):
		if want := anthropic.ErrorType("api_error"); api.Type() != want {
			return fmt.Sprintf("the error is %q, want %q", api.Type(), want)
		}
		return ""
	case l.name != "messages" && errors.As(err, &said):
		if !strings.Contains(string(said.Event.Data), `"`+code+`"`) && code != "" {
			return fmt.Sprintf("the error is %s, want the code %q", said.Event.Data, code)
		}
		return ""
	}
	return fmt.Sprintf("the SDK met %T %v, not an error of the API", err, err)
}

// TestWithoutHoldfastABrokenStreamCanLookWhole is why the others are here. When
// an SDK learns better, this fails and may go.
func TestWithoutHoldfastABrokenStreamCanLookWhole(t *testing.T) {
	_, provider := startSim(t)
	direct := way{name: "direct", base: provider, client: plainClient(t)}
	for _, l := range listeners {
		if h := l.hear(t.Context(), direct, "sim/cut-clean-after-5"); h.err != nil || h.tokens != 5 {
			t.Errorf("%s: five tokens and a clean end gave %+v", l.name, h)
		}
	}
}

// earlyBreaks come before the first token, also of a stream; lateBreaks come
// before the end of an answer that is not streamed.
var (
	earlyBreaks = []string{"503", "529", "reset", "429-forever", "silent", "error-first-event", "html-200", "empty-200", "only-pings"}
	lateBreaks  = []string{"cut-after-40", "stall-after-20", "bad-event-10"}
)

// TestABreakBeforeTheFirstTokenIsInvisible where there is a backup: the program
// gets a complete answer, and no SDK tries again.
func TestABreakBeforeTheFirstTokenIsInvisible(t *testing.T) {
	provider, address := startSim(t)
	w, asked := way{base: serve(t, twoTargets(address)).URL, client: plainClient(t)}.counted()
	for _, fault := range earlyBreaks {
		for _, l := range listeners {
			provider.ClearLog()
			h := l.hear(t.Context(), w, fault)
			if h.err != nil || h.tokens != 60 {
				t.Errorf("%s, %s: %+v", l.name, fault, h)
			}
			if n := len(provider.Log()); n != 2 && fault != "429-forever" { // which rests for its second
				t.Errorf("%s, %s: %d attempts, want one at each target", l.name, fault, n)
			}
			if n := asked.take(); n != 1 {
				t.Errorf("%s, %s: the SDK asked %d times", l.name, fault, n)
			}
		}
	}
	client := openaiClient(w)
	for _, fault := range lateBreaks {
		answer, err := client.Chat.Completions.New(t.Context(), chatParams(fault, question))
		if err != nil || answer.Choices[0].FinishReason == "" {
			t.Errorf("a whole answer, %s: %v", fault, err)
		}
	}
}

// twoTargets is a gateway's file in which the model is the primary's fault and
// the backup is well. The circuits stay closed: every call shall meet its fault.
func twoTargets(provider string) string {
	file := settings(provider, short) + "breaker: {consecutive: off, failure_ratio: off}\nroutes:\n"
	for _, fault := range slices.Concat(earlyBreaks, lateBreaks) {
		file += fmt.Sprintf("  %q:\n    targets: [openai/sim/%s, openai/sim/ok, anthropic/sim/%s, anthropic/sim/ok]\n", fault, fault, fault)
	}
	return file
}
