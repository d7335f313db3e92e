package holdfast_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/internal/wanted"
	"github.com/holdfast-gateway/holdfast/retry"
	"github.com/holdfast-gateway/holdfast/sim"
)

// exchange is one answer of a provider that is given again, byte for byte.
type exchange struct {
	name    string
	path    string // of the request
	request []byte
	status  int
	kind    string // content type
	body    []byte
	lenient bool // of a vendor that may leave the terminator out
	class   call.Class
}

// wireDialects are the dialects that have streams.
var wireDialects = []string{"chat", "responses", "messages"}

func (x exchange) streamed() bool { return strings.HasPrefix(x.kind, "text/event-stream") }

// TestWhatGoesInComesOut holds every answer we have, in every shape that a
// network or a server may give it, against the one promise of a proxy that
// translates nothing: the same bytes. The reader's pieces are exact here.
func TestWhatGoesInComesOut(t *testing.T) {
	for _, x := range exchanges(t) {
		t.Run(x.name, func(t *testing.T) {
			for _, v := range variantsOf(x) {
				for i, c := range cuttings {
					if !c.worth(v.body) {
						continue
					}
					changed := x
					changed.body = v.body
					replayed(t, changed, v.name+", "+c.name, c.cut(v.body), i%2 == 1)
				}
			}
		})
	}
}

// replayed sends one exchange through a Transport whose provider gives its body
// in these pieces, and holds the answer against it.
func replayed(t *testing.T, x exchange, how string, pieces [][]byte, written bool) {
	t.Helper()
	h := newHearer()
	hf := house(t, x, "http://provider.invalid", inMemory(x, pieces), h)
	defer hf.Close()
	resp, err := hf.RoundTrip(requestOf(t, x))
	if err != nil {
		t.Fatalf("%s: %v", how, err)
	}
	defer resp.Body.Close()
	var got bytes.Buffer
	if written {
		_, err = io.Copy(&got, resp.Body) // by WriteTo, as a gateway does
	} else {
		_, err = got.ReadFrom(struct{ io.Reader }{resp.Body})
	}
	checkReplay(t, how, x, resp, got.Bytes(), err)
	h.check(t, how, x.class)
}

func checkReplay(t *testing.T, how string, x exchange, resp *http.Response, got []byte, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: reading the body: %v", how, err)
	}
	if resp.StatusCode != x.status {
		t.Fatalf("%s: status %d, want %d: %.300q", how, resp.StatusCode, x.status, got)
	}
	if !bytes.Equal(got, x.body) {
		t.Fatalf("%s: %s", how, difference(got, x.body))
	}
	if kind := resp.Header.Get("Content-Type"); kind != x.kind {
		t.Errorf("%s: content type %q, want %q", how, kind, x.kind)
	}
	if n := resp.Header.Get("X-Holdfast-Attempts"); n != "1" {
		t.Errorf("%s: x-holdfast-attempts is %q", how, n)
	}
	if id := resp.Header.Get("X-Request-Id"); id != "req_of_the_provider" {
		t.Errorf("%s: x-request-id is %q, want the provider's", how, id)
	}
	if from := resp.Header.Get("X-Holdfast-Degraded"); from != "" {
		t.Errorf("%s: x-holdfast-degraded is %q", how, from)
	}
}

// difference says where two bodies part, for a failure that can be read.
func difference(got, want []byte) string {
	at := 0
	for at < len(got) && at < len(want) && got[at] == want[at] {
		at++
	}
	around := func(b []byte) []byte { return b[max(0, at-40):min(len(b), at+80)] }
	return fmt.Sprintf("%d bytes instead of %d; from byte %d on %q, want %q", len(got), len(want), at, around(got), around(want))
}

// TestWhatGoesInComesOutOfTheWire does it again over loopback, where a server
// flushes the pieces and the network may join them.
func TestWhatGoesInComesOutOfTheWire(t *testing.T) {
	server := newReplayer(t)
	for _, x := range exchanges(t) {
		if len(x.body) > 200_000 {
			continue
		}
		t.Run(x.name, func(t *testing.T) {
			h := newHearer()
			hf := house(t, x, server.URL, nil, h)
			defer hf.Close()
			client := &http.Client{Transport: hf}
			for _, v := range variantsOf(x)[:min(2, len(variantsOf(x)))] { // as it is, and with CRLF
				for _, c := range cuttings {
					if c.size > 0 && len(v.body)/c.size > 3_000 {
						continue // each piece is a system call on both sides
					}
					how := v.name + ", " + c.name
					changed := x
					changed.body = v.body
					server.next(changed, c.cut(v.body))
					resp, err := client.Do(requestOf(t, x))
					if err != nil {
						t.Fatalf("%s: %v", how, err)
					}
					got, err := io.ReadAll(resp.Body)
					_ = resp.Body.Close()
					checkReplay(t, how, changed, resp, got, err)
					h.check(t, how, x.class)
				}
			}
		})
	}
}

// ---- the answers ----

// exchanges are all answers we have: the simulated provider's, and what others
// recorded where those recordings are at hand.
func exchanges(t *testing.T) []exchange {
	t.Helper()
	all := simulated(t)
	var root string
	t.Run("recorded", func(t *testing.T) { root = wanted.Recordings(t) })
	if root == "" {
		return all // the simulated provider's alone
	}
	recorded, err := recordings(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(recorded) < 50 {
		t.Fatalf("only %d recordings found", len(recorded))
	}
	return append(all, recorded...)
}

// simulated are our own bodies: every dialect, streamed and whole, with text,
// a tool call, a refusal and a filter's end. They hold characters of up to four
// bytes.
func simulated(t *testing.T) []exchange {
	t.Helper()
	provider := sim.New(sim.Config{})
	var all []exchange
	for _, dialect := range wireDialects {
		for _, streamed := range []bool{false, true} {
			for _, what := range []string{"ok", "tool", "refusal", "content-filter", "big-frame"} {
				x := exchange{name: fmt.Sprintf("sim %s %s stream=%v", dialect, what, streamed), path: paths[dialect], class: call.OK}
				x.request = ask(dialect, "sim/"+what, streamed)
				switch what {
				case "tool":
					x.request = askTool(dialect, streamed)
				case "refusal", "content-filter":
					x.class = call.PolicyViolation
				}
				all = append(all, x.answeredBy(t, provider))
			}
		}
	}
	return all
}

func (x exchange) answeredBy(t *testing.T, provider http.Handler) exchange {
	t.Helper()
	w := httptest.NewRecorder()
	provider.ServeHTTP(w, httptest.NewRequest("POST", x.path, bytes.NewReader(x.request)))
	x.status, x.kind, x.body = w.Code, w.Header().Get("Content-Type"), w.Body.Bytes()
	if x.status != 200 || len(x.body) == 0 {
		t.Fatalf("%s: the simulated provider answers %d %.300q", x.name, x.status, x.body)
	}
	return x
}

// askTool is a request that the simulated provider answers with a tool call.
func askTool(dialect string, streamed bool) []byte {
	schema := map[string]any{"type": "object", "properties": map[string]any{"city": map[string]string{"type": "string"}, "days": map[string]string{"type": "integer"}}}
	tool := map[string]any{"name": "weather", "description": "Tells the weather."}
	switch dialect {
	case "chat":
		tool["parameters"] = schema
		tool = map[string]any{"type": "function", "function": tool}
	case "responses":
		tool["type"], tool["parameters"] = "function", schema
	default:
		tool["input_schema"] = schema
	}
	var body map[string]any
	if err := json.Unmarshal(ask(dialect, "sim/ok", streamed), &body); err != nil {
		panic(err) // our own words
	}
	body["tools"] = []any{tool}
	words := []map[string]string{{"role": "user", "content": "Use the tool."}}
	if dialect == "responses" {
		body["input"] = words
	} else {
		body["messages"] = words
	}
	b, _ := json.Marshal(body)
	return b
}

// recorded is the description beside a recorded body.
type recorded struct {
	Request struct {
		Method, Host, Path string
		Body               json.RawMessage
	}
	Response struct {
		Status  int
		Headers map[string][]string
	}
}

// recordings reads the answers of true providers. Error answers are among them:
// what a provider says when it fails goes to the caller as it is, too.
func recordings(root string) ([]exchange, error) {
	var all []exchange
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		stem, ok := strings.CutSuffix(path, ".json")
		if err != nil || !ok || strings.HasSuffix(stem, ".body") {
			return err
		}
		bodies, err := filepath.Glob(stem + ".body.*")
		if err != nil || len(bodies) != 1 {
			return err
		}
		x, err := recording(root, path, bodies[0])
		if err == nil && x.name != "" {
			all = append(all, x)
		}
		return err
	})
	return all, err
}

func recording(root, description, body string) (exchange, error) {
	text, err := os.ReadFile(description)
	if err != nil {
		return exchange{}, err
	}
	var r recorded
	if err := json.Unmarshal(text, &r); err != nil {
		return exchange{}, fmt.Errorf("%s: %w", description, err)
	}
	name, _ := filepath.Rel(root, strings.TrimSuffix(description, ".json"))
	vendor, kind, _ := strings.Cut(filepath.ToSlash(name), "/")
	kind, _, _ = strings.Cut(kind, "/")
	x := exchange{name: filepath.ToSlash(name), path: r.Request.Path, status: r.Response.Status, class: call.OK}
	x.lenient = vendor != "openai-chat" && vendor != "openai-responses" && vendor != "anthropic"
	switch {
	case kind == "policy" && strings.Contains(name, "error-body-under-status-200"):
		return exchange{}, nil // an answer that lies; it is not passed on
	case kind == "policy":
		x.class = call.PolicyViolation
	case kind == "error":
		x.class = call.Unclassified // the vendors' own tests say which
	}
	if vendor == "azure-openai" { // the same dialect behind another path
		x.path = "/v1/chat/completions"
	}
	for header, values := range r.Response.Headers {
		if strings.EqualFold(header, "Content-Type") {
			x.kind = values[0]
		}
	}
	x.request = r.Request.Body
	if call.Value(x.request).Kind() != '{' {
		x.request = []byte(`{"model":"m","stream":` + strconv.FormatBool(kind == "stream") + `}`)
	}
	x.body, err = os.ReadFile(body)
	return x, err
}

// ---- their shapes ----

// variant is a body in a shape that means the same.
type variant struct {
	name string
	body []byte
}

// variantsOf are the shapes that servers and intermediaries give to an event
// stream. Other bodies have one.
func variantsOf(x exchange) []variant {
	all := []variant{{"as it is", x.body}}
	if !x.streamed() || len(x.body) > 200_000 || bytes.ContainsRune(x.body, '\r') {
		return all
	}
	add := func(name string, body []byte) { all = append(all, variant{name, body}) }
	trimmed := bytes.TrimRight(x.body, "\n")
	add("CRLF", bytes.ReplaceAll(x.body, []byte("\n"), []byte("\r\n")))
	add("CR", bytes.ReplaceAll(x.body, []byte("\n"), []byte("\r")))
	add("without its last blank line", append(bytes.Clone(trimmed), '\n'))
	add("without its last line end", trimmed)
	add("with a byte order mark", append([]byte("\xef\xbb\xbf"), x.body...))
	add("with comments", between(x.body, ": keep-alive\n\n"))
	add("with NUL bytes in comments", between(x.body, ": \x00\x00\n\n"))
	add("with empty data lines", between(x.body, "data:\n\n"))
	add("with fields that nobody reads", between(x.body, "id: 7\nretry: 3000\n\n"))
	if len(x.body) > 8<<10 {
		return all
	}
	first := bytes.Index(x.body, []byte("data:")) // a server that has said nothing yet may not say this much
	first += bytes.Index(x.body[first:], []byte("\n\n")) + 2
	long := ": " + strings.Repeat("x", 1<<20) + "\n\n"
	add("a line of 1 MB", append(append(bytes.Clone(x.body[:first]), long...), x.body[first:]...))
	return all
}

// between puts a frame before and after every frame.
func between(body []byte, frame string) []byte {
	frames := bytes.SplitAfter(body, []byte("\n\n"))
	return append([]byte(frame), bytes.Join(frames, []byte(frame))...)
}

// cutting cuts a body into the pieces in which it arrives.
type cutting struct {
	name string
	size int // of the pieces; 0 if they are few
	cut  func([]byte) [][]byte
}

var cuttings = []cutting{
	{"whole", 0, func(b []byte) [][]byte { return [][]byte{b} }},
	{"1 B", 1, bySize(1)},
	{"7 B", 7, bySize(7)},
	{"64 kB", 64 << 10, bySize(64 << 10)},
	{"inside characters", 20, cutWhere(func(b []byte, i int) bool { return !utf8.RuneStart(b[i]) })},
	{"inside line ends", 20, cutWhere(func(b []byte, i int) bool { return b[i] == '\n' || b[i-1] == '\r' })},
	{"before blank lines", 0, cutWhere(func(b []byte, i int) bool { return b[i] == '\n' && b[i-1] == '\n' })},
}

// worth says whether cutting this body shows anything new: a megabyte in pieces
// of a byte, or without a character to cut, only takes long.
func (c cutting) worth(body []byte) bool {
	if len(body) > 1<<20 {
		return c.name == "64 kB" || c.name == "inside line ends"
	}
	return c.size == 0 || len(body)/c.size <= 10_000
}

func bySize(n int) func([]byte) [][]byte {
	return func(b []byte) (pieces [][]byte) {
		for len(b) > n {
			pieces, b = append(pieces, b[:n]), b[n:]
		}
		return append(pieces, b)
	}
}

// cutWhere cuts before every byte that here names.
func cutWhere(here func(b []byte, i int) bool) func([]byte) [][]byte {
	return func(b []byte) (pieces [][]byte) {
		from := 0
		for i := 1; i < len(b); i++ {
			if here(b, i) {
				pieces, from = append(pieces, b[from:i]), i
			}
		}
		return append(pieces, b[from:])
	}
}

// ---- the stage ----

// house is a Transport with one route to a provider of either dialect.
func house(t *testing.T, x exchange, base string, provider http.RoundTripper, h *hearer) *holdfast.Transport {
	t.Helper()
	hf, err := holdfast.NewTransport(holdfast.Config{
		Routes: []holdfast.Route{{Name: "replay", Retry: retry.Config{MaxAttempts: 1}, Targets: []holdfast.Target{
			{Name: "openai", Vendor: "openai", BaseURL: base, LenientEnd: x.lenient},
			{Name: "anthropic", Vendor: "anthropic", BaseURL: base, LenientEnd: x.lenient},
		}}},
		Transport: provider, Recorder: h,
	})
	if err != nil {
		t.Fatal(err)
	}
	return hf
}

func requestOf(t *testing.T, x exchange) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", "http://app.invalid"+x.path, bytes.NewReader(x.request))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	return req
}

// header is what the provider sends with x.
func (x exchange) header() http.Header {
	return http.Header{"Content-Type": {x.kind}, "X-Request-Id": {"req_of_the_provider"}}
}

// roundTripper is a provider as a function.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// inMemory answers with x, one piece for each Read.
func inMemory(x exchange, pieces [][]byte) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		_, _ = io.Copy(io.Discard, req.Body)
		_ = req.Body.Close()
		return &http.Response{
			StatusCode: x.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req,
			Header: x.header(), Body: &piecemeal{ctx: req.Context(), pieces: pieces}, ContentLength: -1,
		}, nil
	})
}

// piecemeal is a body that arrives in given pieces. As a true one it ends when
// its request does.
type piecemeal struct {
	ctx    context.Context
	pieces [][]byte
	given  int // bytes of the first piece
}

func (p *piecemeal) Read(b []byte) (int, error) {
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	if len(p.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.pieces[0][p.given:])
	if p.given += n; p.given == len(p.pieces[0]) {
		p.pieces, p.given = p.pieces[1:], 0
	}
	return n, nil
}

func (p *piecemeal) Close() error { return nil }

// replayer is a server that answers the next request with a given exchange and
// flushes after every piece.
type replayer struct {
	*httptest.Server
	mu     sync.Mutex
	x      exchange
	pieces [][]byte
}

func newReplayer(t *testing.T) *replayer {
	r := &replayer{}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *replayer) next(x exchange, pieces [][]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.x, r.pieces = x, pieces
}

func (r *replayer) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	x, pieces := r.x, r.pieces
	r.mu.Unlock()
	_, _ = io.Copy(io.Discard, req.Body)
	for name, values := range x.header() {
		w.Header()[name] = values
	}
	w.WriteHeader(x.status)
	flush := http.NewResponseController(w).Flush
	for _, piece := range pieces {
		if _, err := w.Write(piece); err != nil || flush() != nil {
			return
		}
	}
}

// hearer is a Recorder that waits for the end of calls.
type hearer struct {
	ended chan call.Event
	other chan call.Event // ended attempts
}

func newHearer() *hearer { return &hearer{make(chan call.Event, 16), make(chan call.Event, 16)} }

func (h *hearer) Record(e *call.Event) {
	switch e.Kind {
	case call.CallEnded:
		h.ended <- *e
	case call.AttemptEnded:
		h.other <- *e
	}
}

// check holds the one outcome of the call, and of its one attempt, against a
// class; Unclassified is any but ok.
func (h *hearer) check(t *testing.T, how string, want call.Class) {
	t.Helper()
	for _, events := range []chan call.Event{h.other, h.ended} {
		if len(events) != 1 { // they are told before the body's last read returns
			t.Fatalf("%s: %d outcomes, want 1", how, len(events))
		}
		e := <-events
		got := e.Outcome.Class
		if want == call.Unclassified && got == call.OK || want != call.Unclassified && got != want {
			t.Fatalf("%s: class %s (%s), want %s: %v", how, got, e.Outcome.Code, want, e.Outcome.Err)
		}
	}
}
