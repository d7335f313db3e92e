// Package sim is a simulated model provider: an http.Handler that speaks the dialects of
// OpenAI (Chat Completions, Responses, Embeddings) and Anthropic (Messages) closely enough
// for the vendors' own clients, and that breaks on demand in every way the fault package
// has a name for.
//
// A model named sim/<fault> picks the fault, so that any client can provoke it; every
// other model is well. Dials break the provider for everybody. GET /sim/log tells what
// the provider really saw: attempts, retries, cancellations, whose key.
//
// The words of an answer follow from seed, model and conversation alone, whichever
// provider or dialect is asked; all sim/ models share theirs. The provider starts no
// goroutine and no timer that outlives a call, and waits with package time only, so that
// it runs under testing/synctest as it does on a port. It is for tests and demonstrations,
// and holds nothing but memory of bounded size.
package sim

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/holdfast-gateway/holdfast/fault"
)

// modelPrefix marks the models whose name is a fault.
const modelPrefix = "sim/"

const (
	maxBody     = 32 << 20 // bytes of a request
	remembered  = 10_000   // calls known for faults that depend on earlier ones
	storedLimit = 1_000    // responses and files that can be fetched again
)

// Config is how a provider begins. The zero value is a fast, healthy one.
type Config struct {
	Dials   Dials // as SetDials takes them
	LogSize int   // attempts kept in the log, above 0; 100000

	// Vendor is whose simulated provider this is, one of Vendors: it then has
	// only that vendor's paths, words errors as it does and takes keys where it
	// does. "" speaks the dialects of OpenAI and Anthropic at once.
	Vendor string
}

// Provider is the simulated provider. Make one with New; its methods may be called from
// several goroutines.
type Provider struct {
	began   time.Time
	vendor  *vendor // nil for everybody's
	mux     *http.ServeMux
	control *http.ServeMux
	journal *journal
	meters  *meters
	gate    *gate
	slots   *gate

	seen      *memory[callKey, firstSeen]      // for faults of the first attempt
	asked     *memory[[sha256.Size]byte, int]  // for faults of the second answer
	responses *memory[string, json.RawMessage] // by id, with store
	files     *memory[string, json.RawMessage] // by id

	mu    sync.Mutex
	dials Dials
	stall stall
}

// callKey tells calls apart: retries have the same body and tag.
type callKey struct {
	body [sha256.Size]byte
	tag  string
}

// firstSeen is what is known of a call: how often and since when it was tried.
type firstSeen struct {
	attempts int
	at       time.Time
}

// New returns a provider. It panics if c.Dials or c.Vendor are not valid, which is a mistake of the
// program; use Dials.Validate for values from outside.
func New(c Config) *Provider {
	if err := c.Dials.Validate(); err != nil {
		panic(err)
	}
	if c.LogSize <= 0 {
		c.LogSize = journalSize
	}
	p := &Provider{
		began: time.Now(), dials: c.Dials, journal: newJournal(c.LogSize), meters: &meters{}, gate: &gate{}, slots: &gate{},
		seen:      newMemory[callKey, firstSeen](remembered),
		asked:     newMemory[[sha256.Size]byte, int](remembered),
		responses: newMemory[string, json.RawMessage](storedLimit),
		files:     newMemory[string, json.RawMessage](storedLimit),
	}
	if c.Vendor != "" {
		if p.vendor = vendorNamed(c.Vendor); p.vendor == nil {
			panic("sim: no vendor is named " + c.Vendor)
		}
	}
	p.stall = stallOf(c.Dials)
	p.mux, p.control = p.routes(), p.controls()
	return p
}

// SetDials turns all dials at once, for calls that arrive from now on. It returns what
// Dials.Validate says, and then changes nothing.
func (p *Provider) SetDials(d Dials) error {
	if err := d.Validate(); err != nil {
		return err
	}
	p.mu.Lock()
	if d.StallAfter != p.dials.StallAfter || d.StallFor != p.dials.StallFor {
		p.stall = stallOf(d)
	}
	p.dials = d
	p.mu.Unlock()
	p.gate.admit(d.Parallel)
	p.slots.admit(d.Slots)
	return nil
}

// Dials returns the dials as they are, the required key included.
func (p *Provider) Dials() Dials {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dials
}

// Log returns copies of the attempts in the log, the oldest first, those in flight included.
func (p *Provider) Log() []Attempt { return p.journal.since(0) }

// ClearLog empties the log and the counts.
func (p *Provider) ClearLog() { p.journal.clear() }

// Counts returns the sums over all attempts.
func (p *Provider) Counts() Counts { return p.journal.sums() }

// InFlight returns the number of calls that have begun and not ended.
func (p *Provider) InFlight() int { return p.journal.running() }

// ServeHTTP answers one call. Faults that drop the connection panic with
// http.ErrAbortHandler, which an http.Server takes as their meaning.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if isControl(r.URL.Path) {
		p.control.ServeHTTP(w, r)
		return
	}
	if p.vendor == nil {
		p.mux.ServeHTTP(w, r)
		return
	}
	own, ok := p.vendor.as(r)
	if p.vendor.answer != nil {
		p.serve(w, own, endpoint{answer: p.vendor.answer})
		return
	}
	if !ok {
		p.serve(w, own, endpoint{answer: (*call).unknownPath})
		return
	}
	p.mux.ServeHTTP(w, own)
}

// routes is the provider's API. A pattern that nothing else matches leads to a 404 in
// the vendor's shape.
func (p *Provider) routes() *http.ServeMux {
	mux := http.NewServeMux()
	route := func(pattern string, d fault.Dialect, parse bool, answer func(*call)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			p.serve(w, r, endpoint{dialect: d, parse: parse, answer: answer})
		})
	}
	route("POST /v1/chat/completions", fault.Chat, true, (*call).generate)
	route("POST /v1/responses", fault.Responses, true, (*call).generate)
	route("POST /v1/messages", fault.Messages, true, (*call).generate)
	route("POST /v1/messages/count_tokens", fault.Messages, true, (*call).countTokens)
	route("POST /v1/embeddings", "", true, (*call).embed)
	route("GET /v1/models", "", false, (*call).listModels)
	route("GET /v1/models/{id...}", "", false, (*call).getModel)
	route("GET /v1/responses/{id}", fault.Responses, false, (*call).getResponse)
	route("DELETE /v1/responses/{id}", fault.Responses, false, (*call).deleteResponse)
	route("POST /v1/files", "", false, (*call).upload)
	route("GET /v1/files/{id}", "", false, (*call).getFile)
	route("/", "", false, (*call).unknownPath)
	return mux
}

// keyOf returns the credential of a request, wherever the vendor wants it.
func keyOf(h http.Header) string {
	for _, name := range []string{"X-Api-Key", "Api-Key"} {
		if key := h.Get(name); key != "" {
			return key
		}
	}
	const bearer = "Bearer "
	if value := h.Get("Authorization"); len(value) > len(bearer) && value[:len(bearer)] == bearer {
		return value[len(bearer):]
	}
	return h.Get("Authorization")
}

// sameKey compares in constant time, whatever the lengths.
func sameKey(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// fingerprint is the first n hex digits of the SHA-256 of b; "" for nothing.
func fingerprint(b []byte, n int) string {
	if len(b) == 0 {
		return ""
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])[:n]
}

// newID returns 32 random hex digits.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
