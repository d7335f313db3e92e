package provider

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
)

// Row says what one kind of error means. A row matches when everything it names
// is so; what it leaves out may be anything.
type Row struct {
	Status      int    // HTTP status
	Through     int    // the last status, when the row is for a range
	Type        string // the error's type
	Code        string // the error's code, or the finer code beside it
	Contains    string // lower case, in the message: only where the vendor gives nothing else
	Finish      string // why an answer ended: a finish reason, or why a prompt was blocked
	InBand      bool   // only for an error inside an answer
	Waits       bool   // only when the answer says how long to wait
	Foreign     bool   // only when the body is there and no JSON: something between us answered
	Own         bool   // only when the body is JSON: the vendor itself answered
	PassThrough bool   // only on paths that we do not read

	Class    call.Class
	Category string // of a policy violation
	Note     string // why, for the reference
}

// Table is a vendor's rows in the order in which they are tried. Codes stand
// before types, types before texts, texts before statuses: a vendor's finest
// word counts first. The suite in providertest keeps this.
type Table []Row

// Codes makes a row for each code, for lists that share one meaning.
func Codes(class call.Class, note string, codes ...string) Table {
	var rows Table
	for _, code := range codes {
		rows = append(rows, Row{Code: code, Class: class, Note: note})
	}
	return rows
}

// InBand is what errors inside an answer mean, for every vendor, after its own
// rows. Type and code are all there is, so types count here that under a status
// of their own say less than the status. api_error, server_error and what nobody
// named count as 500: the provider began and broke.
var InBand = Table{
	{InBand: true, Code: "content_filter", Class: call.PolicyViolation, Category: "content_filter", Note: "an error object in the place of a filtered answer"},
	{InBand: true, Code: "invalid_api_key", Class: call.Auth},
	{InBand: true, Code: "model_not_found", Class: call.NotFound},
	{InBand: true, Type: "overloaded_error", Class: call.Overloaded},
	{InBand: true, Type: "service_unavailable_error", Class: call.Overloaded},
	{InBand: true, Type: "rate_limit_error", Class: call.Throttled},
	{InBand: true, Type: "rate_limit_exceeded", Class: call.Throttled},
	{InBand: true, Type: "insufficient_quota", Class: call.QuotaExhausted},
	{InBand: true, Type: "billing_error", Class: call.QuotaExhausted},
	{InBand: true, Type: "authentication_error", Class: call.Auth},
	{InBand: true, Type: "permission_error", Class: call.Auth},
	{InBand: true, Type: "not_found_error", Class: call.NotFound},
	{InBand: true, Type: "conflict_error", Class: call.Conflict},
	{InBand: true, Type: "invalid_request_error", Class: call.ClientError},
	{InBand: true, Type: "request_too_large", Class: call.ClientError},
}

// Common is what statuses mean, for every vendor, after its own rows and InBand.
// It has a row for every status, so that nothing stays unclassified.
var Common = Table{
	{Status: 401, Class: call.Auth},
	{Status: 402, Class: call.QuotaExhausted},
	{Status: 403, Foreign: true, Class: call.BadResponse, Note: "a firewall or proxy refused, in its own words: the key is innocent"},
	{Status: 403, Class: call.Auth, Note: "policy_violation only where the vendor's code says so"},
	{Status: 404, Foreign: true, Class: call.BadResponse, Note: "a tunnel or proxy that lost its upstream: the model is innocent"},
	{Status: 404, PassThrough: true, Class: call.ClientError, Note: "the caller named a file or job that is not there: the target is innocent"},
	{Status: 404, Class: call.NotFound},
	{Status: 408, Class: call.Conflict},
	{Status: 409, Class: call.Conflict},
	{Status: 425, Class: call.Conflict},
	{Status: 429, Class: call.Throttled},
	{Status: 400, Through: 499, Class: call.ClientError, Note: "413, 422 and every other refusal of the request itself"},
	{Status: 503, Waits: true, Class: call.Overloaded, Note: "who says when to come back is there, but busy"},
	{Status: 529, Class: call.Overloaded},
	{Status: 500, Through: 599, Class: call.ProviderFault, Note: "500, 502, 504, 520-527, and 503 without an overload code or Retry-After: nothing says it is load"},
	{Through: 399, Class: call.BadResponse, Note: "a redirect, or a success that was none: no model answers so"},
	{Status: 600, Through: 999, Class: call.BadResponse, Note: "no HTTP status"},
}

// Finish returns the row for a finish reason; false for one that is an ordinary
// end.
func (t Table) Finish(reason string) (Row, bool) {
	for _, r := range t {
		if r.Finish == reason && reason != "" {
			return r, true
		}
	}
	return Row{}, false
}

// Join returns t followed by others, sorted so that finer words stay before
// coarser ones: finish reasons, codes, types, texts, statuses. Rows of one kind
// keep their order, so that t's count first.
func (t Table) Join(others ...Table) Table {
	all := slices.Concat(append([]Table{t}, others...)...)
	slices.SortStableFunc(all, func(a, b Row) int { return a.Rank() - b.Rank() })
	return all
}

// Rank says how fine the word is by which r decides: the lower, the finer.
func (r Row) Rank() int {
	switch {
	case r.Finish != "":
		return 0
	case r.Code != "":
		return 1
	case r.Type != "" && r.Contains == "":
		return 2
	case r.Contains != "":
		return 3
	}
	return 4
}

// ByStatus returns what a bare status means: the verdict of Common.
func ByStatus(status int) call.Verdict {
	return Common.verdict(facts{status: status, body: ErrorBody{JSON: true}})
}

// facts is Evidence, read.
type facts struct {
	status      int
	body        ErrorBody
	inBand      bool
	foreign     bool
	passThrough bool
}

func (e Evidence) facts() facts {
	if !e.InBand {
		body := ParseError(e.Body)
		body.Type = first(body.Type, e.Type)
		return facts{status: e.Status, body: body, foreign: len(e.Body) > 0 && !body.JSON, passThrough: e.PassThrough}
	}
	p := e.Problem
	f := facts{status: 500, inBand: true, body: ErrorBody{Type: p.Type, Code: p.Code, Message: p.Message, JSON: true}}
	if p.Status >= 400 && p.Status <= 599 {
		f.status = p.Status // the error says which status it should have had
	}
	return f
}

func (r Row) matches(f facts) bool {
	through := max(r.Status, r.Through)
	switch {
	case through != 0 && (f.status < r.Status || f.status > through),
		r.Type != "" && r.Type != f.body.Type,
		r.Code != "" && r.Code != f.body.Code && r.Code != f.body.Detail,
		r.Finish != "" && (!f.inBand || r.Finish != f.body.Code),
		r.InBand && !f.inBand,
		r.Waits && !f.body.HasWait,
		r.Foreign && !f.foreign,
		r.Own && !f.body.JSON,
		r.PassThrough && !f.passThrough:
		return false
	}
	// A broken server's words are no facts about the request.
	return f.inBand || f.status < 500 || r.Contains == "" && r.Class != call.ContextLength
}

func (r Row) says(message string) bool {
	return r.Contains == "" || strings.Contains(strings.ToLower(message), r.Contains)
}

func (t Table) verdict(f facts) call.Verdict {
	for _, row := range t {
		if row.matches(f) && row.says(f.body.Message) {
			return call.Verdict{Class: row.Class, Scope: scope(row.Class), Code: row.told(f), Category: row.Category}
		}
	}
	return call.Verdict{}
}

// told returns the word that decided, for people. It comes from outside, so only
// what looks like a code is told.
func (r Row) told(f facts) string {
	for _, word := range [...]string{r.Code, r.Finish, f.body.Detail, f.body.Code, f.body.Type} {
		if word != "" && len(word) <= 64 && strings.Trim(word, codeLetters) == "" {
			return word
		}
	}
	return ""
}

const codeLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-."

// scope says whose fault a class is: the key's, the request's, or the target's.
func scope(c call.Class) call.Scope {
	switch c {
	case call.Throttled, call.QuotaExhausted, call.Auth:
		return call.ScopeKey
	case call.ClientError, call.ContextLength, call.PolicyViolation:
		return call.ScopeRequest
	}
	return call.ScopeTarget
}

// WaitSource finds a wait where one vendor puts it. It is asked only when
// headers and body name none.
type WaitSource func(e Evidence, body ErrorBody) (time.Duration, bool)

// Classifier returns a Vendor.Classify for its rows, with InBand and Common
// after them, and its own sources of waits, asked in order.
func (t Table) Classifier(sources ...WaitSource) func(Evidence) call.Verdict {
	own := append(append(append(Table(nil), t...), InBand...), Common...)
	return func(e Evidence) call.Verdict {
		f := e.facts()
		wait, ok := Wait(e.Header, e.Now)
		if !ok && f.body.HasWait {
			wait, ok = min(f.body.Wait, MaxWait), true
		}
		f.body.HasWait = ok // Waits rows believe headers and bodies, not guesses
		v := own.verdict(f)
		for i := 0; i < len(sources) && !ok && v.Class == call.Throttled; i++ {
			wait, ok = sources[i](e, f.body)
		}
		v.Wait, v.HasWait = wait, ok
		return v
	}
}

// Rows returns t as a Markdown table, a line per row, in the order of trial.
func (t Table) Rows() string {
	var b strings.Builder
	b.WriteString("| When | Class | Why |\n| --- | --- | --- |\n")
	for _, r := range t {
		class := "`" + r.Class.String() + "`"
		if r.Category != "" {
			class += ", category `" + r.Category + "`"
		}
		note := r.Note
		if note == "" {
			note = "-"
		}
		b.WriteString("| " + r.when() + " | " + class + " | " + note + " |\n")
	}
	return b.String()
}

func (r Row) when() string {
	var parts []string
	add := func(is bool, text string) {
		if is {
			parts = append(parts, text)
		}
	}
	add(r.InBand, "inside an answer")
	add(r.Finish != "", "finish reason `"+r.Finish+"`")
	add(r.Code != "", "code `"+r.Code+"`")
	add(r.Type != "", "type `"+r.Type+"`")
	add(r.Contains != "", "text \""+r.Contains+"\"")
	add(r.Status != 0 && r.Through == 0, "status "+strconv.Itoa(r.Status))
	add(r.Through != 0, "status "+strconv.Itoa(r.Status)+" to "+strconv.Itoa(r.Through))
	add(r.Waits, "with a wait")
	add(r.Foreign, "not in JSON")
	add(r.Own, "in JSON")
	add(r.PassThrough, "on a path that is not read")
	return strings.Join(parts, ", ")
}
