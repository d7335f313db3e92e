package soak

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast/internal/process"
	"github.com/holdfast-gateway/holdfast/sim"
)

// clientKey opens the gateway of a run.
const clientKey = "hf_soak_0123456789abcdefghijklmnopqrstuvwxyz"

// house is a running gateway and the provider behind it, each a process.
type house struct {
	t        *testing.T
	gateway  *process.Gateway
	callers  string // host and port
	admin    string // address, with its scheme
	provider string // address, with its scheme
}

// open runs both until the test ends. settings is the file without listeners,
// keys and the providers main and spare, which are one process; PROVIDER in it is
// that one's address.
func open(t *testing.T, settings string) *house {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("the gateway is looked at below /proc, which is Linux's")
	}
	h := &house{t: t}
	h.provider = startProvider(t)
	sum := sha256.Sum256([]byte(clientKey))
	file := filepath.Join(t.TempDir(), "holdfast.yaml")
	text := fmt.Sprintf(`version: 1
listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0, pprof: true}
logs: {format: json}
keys:
  soak: {sha256: %s, tenant: soak}
`, hex.EncodeToString(sum[:])) + strings.ReplaceAll(settings, "PROVIDER", h.provider)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	command := child(t, "gateway", cmp.Or(os.Getenv(binary), os.Args[0]), "serve", "-c", file, "--drain-delay", "0s", "--drain", "2s")
	var err error
	if h.gateway, err = process.Serve(command, nil); err != nil {
		t.Fatalf("the gateway: %v", err)
	}
	t.Cleanup(func() {
		err := h.gateway.Stop()
		if err == nil && strings.Contains(h.gateway.Errors.String(), "panic") {
			err = errors.New(h.gateway.Errors.String())
		}
		if err != nil {
			t.Errorf("the gateway ended with %v", err)
		}
	})
	h.callers, h.admin = strings.TrimPrefix(h.gateway.Callers, "http://"), h.gateway.Operators
	return h
}

// child is a process that is a part of a run, in a home of its own.
func child(t *testing.T, as, program string, args ...string) *exec.Cmd {
	t.Helper()
	c := exec.Command(program, args...)
	c.Env = append(os.Environ(), role+"="+as, "GORACE=atexit_sleep_ms=1", "HOME="+t.TempDir(), "HOLDFAST_STATE="+t.TempDir())
	return c
}

// startProvider runs the provider until the test ends and returns its address.
func startProvider(t *testing.T) string {
	t.Helper()
	c := child(t, "provider", os.Args[0])
	var said process.Text
	c.Stderr = &said
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close() // what it ends at
		late := time.AfterFunc(30*time.Second, func() { _ = c.Process.Kill() })
		defer late.Stop()
		if err := c.Wait(); err != nil || said.String() != "" {
			t.Errorf("the provider ended with %v\n%s", err, said.String())
		}
	})
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the provider did not say where it is: %v\n%s", err, said.String())
	}
	return strings.TrimSpace(address)
}

// vitals are what a process holds.
type vitals struct {
	goroutines  int
	descriptors int   // besides those of connections to the provider
	connections int   // to the provider
	rss, heap   int64 // bytes
}

// operators is the client of everything that is not load.
var operators = &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 2}}

func (h *house) get(url string) []byte {
	h.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	resp, err := operators.Do(req)
	if err != nil {
		h.t.Fatalf("%s\n%s", err, h.gateway.Errors.String())
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		h.t.Fatalf("GET %s: %d %.200s, %v", url, resp.StatusCode, text, err)
	}
	return text
}

// collect makes the gateway collect its garbage, twice: what pools keep survives
// once.
func (h *house) collect() {
	for range 2 {
		_ = h.get(h.admin + "/debug/pprof/heap?gc=1")
	}
}

func (h *house) vitals() vitals {
	m, connections := h.metrics(), h.upstream()
	return vitals{
		goroutines: int(m["go_goroutines"]), descriptors: int(m["process_open_fds"]) - connections, connections: connections,
		rss: int64(m["process_resident_memory_bytes"]), heap: int64(m["go_memstats_heap_alloc_bytes"]),
	}
}

// upstream is how many connections to the provider the gateway holds. A pool keeps
// some of them for the next calls, as many as there were at once: they say nothing
// about leaks as long as the pool has its size.
func (h *house) upstream() (count int) {
	own := map[string]bool{}
	folder := fmt.Sprintf("/proc/%d/fd", h.gateway.Pid)
	entries, err := os.ReadDir(folder)
	if err != nil {
		h.t.Fatalf("the gateway's descriptors: %v", err)
	}
	for _, entry := range entries {
		link, _ := os.Readlink(filepath.Join(folder, entry.Name())) // it may be closed by now
		if inode, ok := strings.CutPrefix(link, "socket:["); ok {
			own[strings.TrimSuffix(inode, "]")] = true
		}
	}
	port, _ := strconv.Atoi(h.provider[strings.LastIndexByte(h.provider, ':')+1:])
	remote := fmt.Sprintf(":%04X", port)
	table, _ := os.ReadFile("/proc/net/tcp")
	for line := range strings.Lines(string(table)) {
		if f := strings.Fields(line); len(f) > 9 && strings.HasSuffix(f[2], remote) && own[f[9]] {
			count++
		}
	}
	return count
}

// metrics are all series of the gateway, by name and labels as they are written.
func (h *house) metrics() map[string]float64 {
	all := map[string]float64{}
	for line := range strings.Lines(string(h.get(h.admin + "/metrics"))) {
		at := strings.LastIndexByte(line, ' ')
		if at < 0 || line[0] == '#' {
			continue
		}
		if v, err := strconv.ParseFloat(strings.TrimSpace(line[at:]), 64); err == nil {
			all[line[:at]] = v
		}
	}
	return all
}

// sum adds up the series that begin with a prefix and hold all parts.
func sum(series map[string]float64, prefix string, parts ...string) (total float64) {
	for name, v := range series {
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		holds := true
		for _, part := range parts {
			holds = holds && strings.Contains(name, part)
		}
		if holds {
			total += v
		}
	}
	return total
}

// rest lets go of the connections between gateway and provider that nobody uses:
// how many there are depends on the moment, and they are no leak.
func (h *house) rest() { _ = h.get(h.provider + "/soak/rest") }

// back waits up to five seconds for goroutines and descriptors to be what they
// were, give or take ten, and returns what they are then.
func (h *house) back(to vitals) vitals {
	var v vitals
	for until := time.Now().Add(5 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		h.rest()
		if v = h.vitals(); time.Now().After(until) || near(v.goroutines, to.goroutines) && near(v.descriptors, to.descriptors) {
			return v
		}
	}
}

func near(a, b int) bool { return max(a, b)-min(a, b) <= 10 }

// quiet returns the vitals when goroutines and descriptors have stopped changing.
func (h *house) quiet() vitals {
	h.rest()
	last := h.vitals()
	calm, most := 5, 100
	if !soaking() {
		calm, most = 2, 10
	}
	for same, i := 0, 0; same < calm && i < most; i++ {
		time.Sleep(100 * time.Millisecond)
		h.rest()
		now := h.vitals()
		if same++; now.goroutines != last.goroutines || now.descriptors != last.descriptors {
			same = 0
		}
		last = now
	}
	return last
}

// underWay is how many calls the gateway has at its targets.
func (h *house) underWay() int { return int(sum(h.metrics(), "holdfast_attempts_in_flight")) }

// until waits for something to become true and fails the test if it takes longer
// than a time.
func (h *house) until(what string, within time.Duration, is func() bool) {
	h.t.Helper()
	for end := time.Now().Add(within); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			h.t.Fatalf("%s: not within %s", what, within)
		}
	}
}

// rss is the memory that the gateway holds now, without asking it.
func (h *house) rss() int64 {
	n, err := process.Memory(h.gateway.Pid)
	if err != nil { // no Fatal: it is asked from other goroutines too
		h.t.Errorf("the gateway's memory: %v", err)
	}
	return n
}

// cpu is the processor time that the gateway has used.
func (h *house) cpu() time.Duration {
	d, err := process.Time(h.gateway.Pid)
	if err != nil {
		h.t.Errorf("the gateway's processor time: %v", err)
	}
	return d
}

// highest samples the gateway's memory until stop is called, which returns the most.
func (h *house) highest() (stop func() int64) {
	most, done, ended := h.rss(), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			case <-time.After(100 * time.Millisecond):
				most = max(most, h.rss())
			}
		}
	}()
	stop = sync.OnceValue(func() int64 {
		close(done)
		<-ended
		return max(most, h.rss())
	})
	h.t.Cleanup(func() { _ = stop() }) // of a test that ended early
	return stop
}

// turn sets dials of the provider.
func (h *house) turn(dials string) {
	h.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, h.provider+"/sim/dials", strings.NewReader(dials))
	if err != nil {
		h.t.Fatal(err)
	}
	resp, err := operators.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		h.t.Fatalf("the provider's dials: %s", text)
	}
}

// attempts are what the provider saw, after the one of that number.
func (h *house) attempts(since uint64) []sim.Attempt {
	var list []sim.Attempt
	if err := json.Unmarshal(h.get(fmt.Sprintf("%s/sim/log?since=%d", h.provider, since)), &list); err != nil {
		h.t.Fatal(err)
	}
	return list
}

// counts are the provider's sums.
func (h *house) counts() sim.Counts {
	var c sim.Counts
	if err := json.Unmarshal(h.get(h.provider+"/sim/counts"), &c); err != nil {
		h.t.Fatal(err)
	}
	return c
}
