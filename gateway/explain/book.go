package explain

import (
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
)

// Limits bound what a Book remembers. A zero field means the default beside it.
type Limits struct {
	Calls int   // 10,000
	Bytes int64 // 32 MiB, as estimated
	Steps int   // attempts, and targets passed over, per call; 64
}

func (l Limits) withDefaults() Limits {
	if l.Calls <= 0 {
		l.Calls = 10_000
	}
	if l.Bytes <= 0 {
		l.Bytes = 32 << 20
	}
	if l.Steps <= 0 {
		l.Steps = 64
	}
	return l
}

// shards is how many calls can be written about at once.
const shards = 16

// Book is a call.Recorder that remembers calls. Make it with NewBook; it is safe
// for concurrent use.
type Book struct {
	limits Limits // of one shard
	seed   maphash.Seed
	shards [shards]shard
}

// shard holds the calls whose ids fall into it.
type shard struct {
	mu        sync.Mutex
	byID      map[string]*page
	oldest    *page // of a list, the newest last
	newest    *page
	bytes     int64
	forgotten int64
	_         [64]byte // shards do not share a cache line
}

// page is a story in its place.
type page struct {
	Story
	bytes int64
	next  *page
}

// NewBook returns an empty Book.
func NewBook(l Limits) *Book {
	l = l.withDefaults()
	b := &Book{seed: maphash.MakeSeed(), limits: Limits{Calls: max(1, l.Calls/shards), Bytes: max(1, l.Bytes/shards), Steps: l.Steps}}
	for i := range b.shards {
		b.shards[i].byID = map[string]*page{}
	}
	return b
}

// Record notes an event of a call; others are ignored.
func (b *Book) Record(e *call.Event) {
	if e.Call == nil || e.Call.ID == "" {
		return
	}
	s := b.shard(e.Call.ID)
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.byID[e.Call.ID]
	if p == nil {
		p = s.open(e)
	}
	p.note(e, b.limits.Steps)
	s.bytes += p.weigh()
	s.forget(b.limits)
}

func (b *Book) shard(id string) *shard {
	return &b.shards[maphash.String(b.seed, id)%shards]
}

// open begins a page. A call that was forgotten while it ran begins again.
func (s *shard) open(e *call.Event) *page {
	p := &page{Story: begin(e)}
	s.byID[p.ID] = p
	if s.newest == nil {
		s.oldest = p
	} else {
		s.newest.next = p
	}
	s.newest = p
	return p
}

// forget takes the oldest pages out until the limits are kept. The newest stays.
func (s *shard) forget(l Limits) {
	for s.oldest != s.newest && (len(s.byID) > l.Calls || s.bytes > l.Bytes) {
		p := s.oldest
		s.oldest = p.next
		delete(s.byID, p.ID)
		s.bytes -= p.bytes
		s.forgotten++
	}
}

// Find returns a copy of what is remembered of a call.
func (b *Book) Find(id string) (Story, bool) {
	s := b.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.byID[id]
	if p == nil {
		return Story{}, false
	}
	return p.copy(), true
}

// copy shares nothing that is still written to.
func (p *page) copy() Story {
	s := p.Story
	s.Attempts, s.PassedOver = slices.Clone(s.Attempts), slices.Clone(s.PassedOver)
	for i := range s.Attempts {
		if n := s.Attempts[i].Next; n != nil {
			next := *n
			s.Attempts[i].Next = &next
		}
	}
	if s.Running {
		s.DurationMS = milliseconds(time.Since(s.At))
	}
	return s
}

// Filter chooses calls; a zero field chooses all.
type Filter struct {
	Route, Tenant, Target, Class string
	Status                       int  // 503, or 5 for every 5xx
	Failed                       bool // only calls that ended without a true answer
	Limit                        int  // 50
}

func (f Filter) fits(s *Summary) bool {
	return (f.Route == "" || f.Route == s.Route) && (f.Tenant == "" || f.Tenant == s.Tenant) &&
		(f.Target == "" || f.Target == s.Target) && (f.Class == "" || f.Class == s.Class) &&
		(f.Status == 0 || f.Status == s.Status || f.Status < 10 && f.Status == s.Status/100) && (!f.Failed || s.Failed())
}

// Recent returns the calls that fit, the newest first.
func (b *Book) Recent(f Filter) []Summary {
	if f.Limit <= 0 {
		f.Limit = 50
	}
	var all []Summary
	for i := range b.shards {
		all = b.shards[i].collect(all, f)
	}
	slices.SortFunc(all, func(a, b Summary) int {
		if c := b.At.Compare(a.At); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return all[:min(len(all), f.Limit)]
}

func (s *shard) collect(all []Summary, f Filter) []Summary {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := s.oldest; p != nil; p = p.next {
		if !f.fits(&p.Summary) {
			continue
		}
		all = append(all, p.Summary)
		if last := &all[len(all)-1]; last.Running {
			last.DurationMS = milliseconds(time.Since(last.At))
		}
	}
	return all
}

// Counts say how full a Book is.
type Counts struct {
	Calls     int   `json:"calls" doc:"remembered now"`
	Bytes     int64 `json:"bytes" doc:"estimate of what they take"`
	Forgotten int64 `json:"forgotten" doc:"calls that made room for newer ones"`
}

// Counts returns how full the Book is.
func (b *Book) Counts() (n Counts) {
	for i := range b.shards {
		s := &b.shards[i]
		s.mu.Lock()
		n.Calls += len(s.byID)
		n.Bytes += s.bytes
		n.Forgotten += s.forgotten
		s.mu.Unlock()
	}
	return n
}
