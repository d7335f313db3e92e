package providertest

import (
	"bytes"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/internal/wanted"
	"github.com/holdfast-gateway/holdfast/provider"
)

// Expect is what must come out of one exchange.
type Expect struct {
	ID       string        // "own/<file>", "documented/<entry>" or "<folder>/<kind>/<file>" of the recorded traffic
	Class    call.Class    // call.OK for a whole answer
	Category string        // of a policy violation
	Wait     time.Duration // that the answer asks for; 0 for none, and for "at once"
}

// foreign is between, as a vendor must judge it that reads no paths: a tool has
// no model that could be missing.
func foreign(v *provider.Vendor) []Expect {
	rows := slices.Clone(between)
	if v.Dialect != nil || v.Answers != nil {
		return rows
	}
	for i := range rows {
		switch rows[i].ID {
		case "documented/tunnel-404-html":
			rows[i].Class = call.ClientError
		case "documented/cloudflare-524-json-retry-after":
			rows[i].Wait = 0 // the words of a tool's body are not read
		}
	}
	return rows
}

// between is what any vendor must make of those who stand between us and it.
var between = []Expect{
	{ID: "documented/proxy-503-no-healthy-upstream", Class: call.ProviderFault},
	{ID: "documented/cloudflare-524-json-retry-after", Class: call.ProviderFault, Wait: 120 * time.Second},
	{ID: "documented/tunnel-404-html", Class: call.BadResponse},
}

// Run holds a vendor against the table of its own exchanges, against its rows
// among the recorded ones, and against what is asked of every vendor.
func Run(t *testing.T, v *provider.Vendor, own []Expect) {
	table := slices.Concat(own, recordedFor(v.Name), foreign(v))
	t.Run("it is fully described", func(t *testing.T) { describe(t, v) })
	t.Run("its rows go from fine to coarse", func(t *testing.T) { order(t, v.Table) })
	t.Run("every status has a class", func(t *testing.T) { statuses(t, v) })
	t.Run("a credential goes where it belongs and nowhere else", func(t *testing.T) { sign(t, v) })
	t.Run("our own exchanges", func(t *testing.T) {
		own := readFolder(t, filepath.Join(wanted.Root(t), "testdata", v.Name), "own/")
		compare(t, v, own, pick(table, "own/"))
	})
	t.Run("recorded exchanges", func(t *testing.T) {
		if len(folders(table)) == 0 {
			t.Skip("nobody has recorded any")
		}
		root := wanted.Recordings(t)
		for _, folder := range folders(table) {
			if _, err := os.Stat(filepath.Join(root, folder)); err != nil {
				t.Fatal(err)
			}
			compare(t, v, readFolder(t, filepath.Join(root, folder), folder+"/"), pick(table, folder+"/"))
		}
	})
	t.Run("documented errors", func(t *testing.T) {
		compare(t, v, readDocumented(t, wanted.Recordings(t), v.Name), pick(table, "documented/"))
	})
}

func pick(table []Expect, prefix string) []Expect {
	return slices.DeleteFunc(slices.Clone(table), func(e Expect) bool { return !strings.HasPrefix(e.ID, prefix) })
}

// folders returns the folders of recorded traffic that a table names.
func folders(table []Expect) []string {
	names := map[string]bool{}
	for _, e := range table {
		if folder, _, _ := strings.Cut(e.ID, "/"); folder != "own" && folder != "documented" {
			names[folder] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// compare judges every exchange; each must have one row, and each row one.
func compare(t *testing.T, v *provider.Vendor, found map[string]exchange, table []Expect) {
	t.Helper()
	for _, want := range table {
		if _, ok := found[want.ID]; !ok {
			t.Errorf("%s: a row without an exchange", want.ID)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(found)) {
		i := slices.IndexFunc(table, func(e Expect) bool { return e.ID == id })
		if i < 0 {
			t.Errorf("%s: an exchange without a row", id)
			continue
		}
		t.Run(id, func(t *testing.T) { judge(t, v, found[id], table[i]) })
	}
	if len(found) == 0 {
		t.Error("no exchanges at all")
	}
	t.Logf("%d exchanges", len(found))
}

func judge(t *testing.T, v *provider.Vendor, x exchange, want Expect) {
	ep := v.Endpoint(x.method, x.path)
	if x.path == "" { // documented entries name no path
		ep = anyEndpoint(v)
	}
	readRequest(t, ep, x)
	got := verdict(t, v, ep, x)
	if got.Class != want.Class || got.Category != want.Category {
		t.Errorf("got %v, category %q; want %v, category %q", got.Class, got.Category, want.Class, want.Category)
	}
	if got.Wait != want.Wait {
		t.Errorf("asks to wait %v, want %v", got.Wait, want.Wait)
	}
	if got.Class != call.OK && len(got.Code) > 64 {
		t.Errorf("the code that decided is a story: %q", got.Code)
	}
}

func anyEndpoint(v *provider.Vendor) provider.Endpoint {
	for _, path := range [...]string{"/v1/chat/completions", "/v1/messages", "/v1/responses"} {
		if ep := v.Endpoint(http.MethodPost, path); ep.Dialect != nil {
			return ep
		}
	}
	return provider.Endpoint{}
}

// readRequest holds that what clients really sent can be read.
func readRequest(t *testing.T, ep provider.Endpoint, x exchange) {
	t.Helper()
	if ep.Dialect == nil || call.Value(x.ask).Kind() != '{' {
		return
	}
	var r call.Request
	if err := ep.Dialect.Read(x.ask, &r); err != nil || r.Model == "" {
		t.Errorf("its request reads as %+v, %v", r, err)
	}
	if x.status == http.StatusOK && r.Stream != x.streamed() {
		t.Errorf("asked for a stream: %v; got one: %v", r.Stream, x.streamed())
	}
}

// verdict sends one exchange the way the stack would.
func verdict(t *testing.T, v *provider.Vendor, ep provider.Endpoint, x exchange) call.Verdict {
	t.Helper()
	e := provider.Evidence{Status: x.status, Header: x.header, Now: time.Now(), PassThrough: ep.Dialect == nil}
	if x.status < 200 || x.status > 299 {
		e.Body = x.body
		roundTrip(t, ep, x)
		return v.Classify(e)
	}
	if ep.Dialect == nil && v.Answers == nil {
		return call.Verdict{Class: call.OK}
	}
	var s call.Stream
	frame := call.Frame{}
	switch {
	case ep.Dialect == nil:
		frame = readAnswers(t, v, x, &s)
	case x.inBand != "":
		frame = readTail(t, ep.Dialect, x, &s)
	case x.streamed():
		frame = readStream(t, v, ep.Dialect, x, &s)
	default:
		frame = ep.Dialect.Answer(ep.Op, x.body, &s)
		usage(t, x, &s)
	}
	switch {
	case frame.Kind == call.FrameMalformed:
		return call.Verdict{Class: call.BadResponse}
	case frame.Kind == call.FrameError:
		e.InBand, e.Problem = true, frame.Problem
		return v.Classify(e)
	case s.Policy != "":
		return call.Verdict{Class: call.PolicyViolation, Category: s.Policy}
	}
	return call.Verdict{Class: call.OK}
}

// readStream reads every frame of a stream. It returns the frame that decided:
// the first error, or the last frame.
func readStream(t *testing.T, v *provider.Vendor, d call.Dialect, x exchange, s *call.Stream) call.Frame {
	t.Helper()
	var last call.Frame
	content := false
	for i, e := range split(x.body) {
		last = d.Frame(e.name, e.data, s)
		content = content || last.Kind == call.FrameContent
		switch last.Kind {
		case call.FrameError:
			return last
		case call.FrameMalformed:
			t.Errorf("frame %d is malformed", i)
		}
	}
	if !content {
		t.Error("no frame had content")
	}
	if !d.Ended(s, v.StrictEnd) {
		t.Error("it did not end")
	}
	if s.ID == "" || s.Model == "" {
		t.Errorf("nobody answered: id %q, model %q", s.ID, s.Model)
	}
	usage(t, x, s)
	return last
}

// readAnswers reads an answer in a dialect that nobody speaks here.
func readAnswers(t *testing.T, v *provider.Vendor, x exchange, s *call.Stream) call.Frame {
	t.Helper()
	var last call.Frame
	content := false
	for i, e := range x.frames() {
		f := v.Answers.Read(v.Table, string(e.name), e.data, s)
		if f.Kind == call.FrameError || f.Kind == call.FrameMalformed {
			return f
		}
		if f.Kind.Meaningful() {
			last = f
		}
		content = content || f.Kind == call.FrameContent || f.Kind == call.FrameFinish
		if i > 1<<20 {
			t.Fatal("it does not end")
		}
	}
	if !content || !s.Ended {
		return call.Frame{Kind: call.FrameMalformed}
	}
	usage(t, x, s)
	return last
}

// readTail reads the end of a stream that failed, and holds that what we would
// add is an error to the same dialect.
func readTail(t *testing.T, d call.Dialect, x exchange, s *call.Stream) call.Frame {
	t.Helper()
	for _, e := range split([]byte(x.inBand)) {
		if f := d.Frame(e.name, e.data, s); f.Kind == call.FrameError {
			for _, ours := range split(d.ErrorEvent(f.Problem, s)) {
				if again := d.Frame(ours.name, ours.data, s); again.Kind != call.FrameError {
					t.Errorf("our own error event reads as %v", again.Kind)
				}
			}
			return f
		}
	}
	t.Error("no frame was an error")
	return call.Frame{}
}

// usage holds that tokens are counted where the provider counted them.
func usage(t *testing.T, x exchange, s *call.Stream) {
	t.Helper()
	told := false
	for _, name := range [...]string{"output_tokens", "completion_tokens", "candidatesTokenCount", "eval_count", "outputTokens"} {
		told = told || bytes.Contains(x.body, []byte(`"`+name+`"`))
	}
	if told && (!s.Usage.Known || s.Usage.Input <= 0 || s.Usage.Output <= 0) {
		t.Errorf("the usage is lost: %+v", s.Usage)
	}
}

// roundTrip holds that a provider's error, told again in the caller's dialect,
// keeps its status and its words.
func roundTrip(t *testing.T, ep provider.Endpoint, x exchange) {
	t.Helper()
	body := provider.ParseError(x.body)
	if ep.Dialect == nil || !body.JSON {
		return
	}
	p := body.Problem(x.status)
	p.Reason = call.ReasonUpstreamExhausted
	status, told := ep.Dialect.Refusal(p)
	again := provider.ParseError(told)
	if status != x.status || again.Message != body.Message || again.Type != p.Type && p.Type != "" {
		t.Errorf("told again as %d %s", status, told)
	}
}

func describe(t *testing.T, v *provider.Vendor) {
	base, err := url.Parse(v.BaseURL)
	local := base.Scheme == "http" && base.Hostname() == "127.0.0.1"
	if err != nil || base.Scheme != "https" && !local && v.BaseURL != "" || strings.HasSuffix(base.Path, "/") {
		t.Errorf("base URL %q: %v", v.BaseURL, err)
	}
	if v.BaseURL != "" && v.OwnsHost(base.Host) == local {
		t.Errorf("the host of its base URL %q: a public one is its own, and this machine is nobody's", v.BaseURL)
	}
	if v.Name == "" || v.Name != strings.ToLower(v.Name) || v.RequestID == "" || len(v.Credential) == 0 {
		t.Errorf("something is missing: %+v", v)
	}
	ep := anyEndpoint(v)
	if v.Dialect != nil && (ep.Dialect == nil || ep.Op == call.OpOther) {
		t.Error("it has a dialect and reads no path")
	}
	if v.Endpoint(http.MethodGet, "/v1/files/file-1").Dialect != nil || v.Endpoint(http.MethodPost, "/").Dialect != nil {
		t.Error("it reads a path it cannot")
	}
	if strings.TrimSpace(v.Table.Rows()) == "" || v.Reasoning("") {
		t.Error("it prints no table, or takes no model for one that reasons")
	}
}

// order holds that a vendor's finest word counts first.
func order(t *testing.T, table provider.Table) {
	for i, row := range table {
		if i > 0 && row.Rank() < table[i-1].Rank() {
			t.Errorf("row %d (%+v) is finer than the one before it", i, row)
		}
		if row.Class == call.Unclassified || row.Class == call.OK || row.Contains != strings.ToLower(row.Contains) {
			t.Errorf("row %d (%+v) cannot be meant", i, row)
		}
		if (row.Class == call.PolicyViolation) != (row.Category != "") {
			t.Errorf("row %d (%+v): a category belongs to a policy violation, and only there", i, row)
		}
	}
}

func statuses(t *testing.T, v *provider.Vendor) {
	for status := range 1000 {
		for _, body := range [...]string{"", "<html>", "{}", `{"error":{"message":"?"}}`} {
			got := v.Classify(provider.Evidence{Status: status, Body: []byte(body)})
			if got.Class == call.Unclassified || got.Class == call.OK {
				t.Fatalf("%d with %q: %v", status, body, got.Class)
			}
			if status >= 500 && got.Class == call.ContextLength {
				t.Fatalf("%d with %q says something about the request", status, body)
			}
		}
	}
	got := v.Classify(provider.Evidence{InBand: true})
	if got.Class != call.ProviderFault {
		t.Errorf("an error inside an answer that says nothing: %v, want %v", got.Class, call.ProviderFault)
	}
}

func sign(t *testing.T, v *provider.Vendor) {
	const old, secret = "somebody else's", "sk-test-secret"
	h := http.Header{"X-Trace": {"kept"}}
	for _, name := range slices.Concat(provider.CredentialHeaders, v.Credential) {
		h.Set(name, old)
	}
	v.Sign(h, call.Secret(secret))
	signed := false
	for name, all := range h {
		for _, value := range all {
			if value == old {
				t.Errorf("%s still carries somebody else's credential", name)
			}
			if strings.Contains(value, secret) {
				signed = true
				if !slices.ContainsFunc(v.Credential, func(c string) bool { return http.CanonicalHeaderKey(c) == name }) {
					t.Errorf("%s carries the credential and is not listed", name)
				}
			}
		}
	}
	if !signed || h.Get("X-Trace") != "kept" {
		t.Errorf("signed: %v, others kept: %q", signed, h.Get("X-Trace"))
	}
}
