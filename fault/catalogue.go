package fault

import (
	"strconv"
	"strings"
)

// row is one line of the catalogue. A # in pattern and does stands for the number.
type row struct {
	pattern string
	kind    Kind
	n       int    // the number of the documented example, or N of a name without one
	does    string // a sentence; empty for a second spelling
}

// catalogue is all faults. The order is the order of the documentation, and where two
// patterns could match one name, the first wins.
var catalogue = []row{
	{"ok", OK, 0, "answers as a healthy provider does."},

	{"429-retry-after-#", RetryAfter, 2, "answers 429 with Retry-After until # s have passed since the first attempt of the same call, then ok."},
	{"429-forever", Throttled, 0, "answers 429 with Retry-After: 1 on every attempt."},
	{"429-quota", Quota, 0, "answers 429 because a quota is used up; waiting does not help and there is no Retry-After."},
	{"credit-balance", Credit, 0, "answers that the credit is used up: 429 at OpenAI, 400 at Anthropic."},
	{"#-once", Once, 500, "answers # to the first attempt of each distinct body and tag, ok to the next ones."},
	{"500", Status, 500, "answers 500, an internal error of the provider. Any status from 400 to 599 is a fault of that name."},
	{"502", Status, 502, "answers 502 with the HTML page of a front proxy."},
	{"503", Status, 503, "answers 503, the provider is overloaded."},
	{"504", Status, 504, "answers 504, the provider timed out inside."},
	{"529", Status, 529, "answers 529, the provider is overloaded."},
	{"400", Status, 400, "answers 400, an invalid request."},
	{"flap-#s", Flap, 60, "is well for # s and answers 503 for # s, in turns, counted from the provider's start."},

	{"reset", Reset, 0, "resets the connection before any byte of an answer."},
	{"silent", Silent, 0, "accepts the call and never answers, until the caller leaves."},
	{"slow-first-token-#s", SlowFirstToken, 20, "sends headers (and the frames without content) at once, the first token after # s."},
	{"cut-after-#", Cut, 40, "drops the connection inside a frame after # tokens; not streamed: half-way through the body."},
	{"cut-clean-after-#", CutClean, 5, "ends the body cleanly after # tokens, without a finish; not streamed: half of the JSON."},
	{"stall-after-#", Stall, 20, "sends # tokens, then nothing until the caller leaves; not streamed: half of the body."},
	{"bad-event-#", BadEvent, 10, "makes the #th content event malformed JSON; not streamed: the body."},
	{"no-done", NoDone, 0, "sends everything but the terminator ([DONE], message_stop, response.completed) and closes cleanly."},
	{"never-closes", NeverCloses, 0, "sends a whole answer and leaves the connection open."},
	{"error-first-event", ErrorFirst, 0, "answers 200 and a stream whose first event is an error; not streamed: an error object under 200."},
	{"error-after-#", ErrorAfter, 10, "sends # tokens, then the dialect's error event; not streamed: an error object under 200."},
	{"only-pings", OnlyPings, 0, "begins a stream, then sends a keep-alive every second and never content; not streamed: blank lines."},
	{"html-200", HTML, 200, "answers 200 with a web page instead of an answer."},
	{"empty-200", Empty, 200, "answers 200 with an empty body."},
	{"big-frame", BigFrame, bigFrameBytes, "sends one event of 2 MiB; not streamed: one text of 2 MiB."},
	{"no-newline", NoNewline, noNewlineBytes, "sends 64 MiB without a line end."},

	{"auth", Auth, 401, "answers 401, the key is not accepted."},
	{"401", Auth, 401, ""},
	{"not-found", NotFound, 404, "answers 404, the model does not exist."},
	{"404", NotFound, 404, ""},
	{"context-length", ContextLength, 400, "answers 400, the prompt is too long for the model."},
	{"content-filter", ContentFilter, 0, "ends the answer half-way because of a content filter, under status 200."},
	{"prompt-blocked", PromptBlocked, 400, "answers 400 because a content filter refused the prompt."},
	{"refusal", Refusal, 0, "declines to answer in the vendor's own way, under status 200."},

	{"echo-headers", EchoHeaders, 0, "answers with the request's headers as JSON text, so that a test sees which keys travelled."},
	{"slow-mode", SlowMode, 20, "makes one call in twenty ten times slower (at least 1 s), by the seed."},
	{"diverge", Diverge, 0, "answers with other words whenever the same prompt is asked again."},
	{"ignores-prefill", IgnoresPrefill, 0, "begins anew where the last message is the assistant's, instead of going on from it."},
	{"refuses-prefill", RefusesPrefill, 400, "answers 400 where the last message is the assistant's."},

	{"429", Throttled, 429, ""},
	{"#", Status, 0, ""}, // any other status
}

// match reports whether name is of r's form, and its number.
func (r row) match(name string) (n int, ok bool) {
	before, after, numbered := strings.Cut(r.pattern, "#")
	if !numbered {
		return r.n, name == r.pattern
	}
	if len(name) <= len(before)+len(after) || !strings.HasPrefix(name, before) || !strings.HasSuffix(name, after) {
		return 0, false
	}
	return r.number(name[len(before) : len(name)-len(after)])
}

// number reads plain digits, without sign or leading zero, in the range of r's kind.
func (r row) number(digits string) (int, bool) {
	n, err := strconv.Atoi(digits)
	if err != nil || strconv.Itoa(n) != digits {
		return 0, false
	}
	if r.kind == Status || r.kind == Once {
		return n, 400 <= n && n <= 599
	}
	return n, 1 <= n && n <= maxNumber
}

func (r row) info() Info {
	number := strconv.Itoa(r.n)
	info := Info{
		Name: strings.ReplaceAll(r.pattern, "#", number),
		Does: strings.ReplaceAll(r.does, "#", number),
	}
	if info.Name != r.pattern {
		info.Pattern = strings.ReplaceAll(r.pattern, "#", "N")
	}
	return info
}
