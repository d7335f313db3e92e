package holdfast_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/sim"
)

// guard is a Transport without configuration.
func guard(t *testing.T, provider http.RoundTripper) *holdfast.Transport {
	t.Helper()
	hf, err := holdfast.NewTransport(holdfast.Config{Transport: provider})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hf.Close() })
	return hf
}

func TestAHostThatNobodyConfiguredMaySpeakSeveralDialects(t *testing.T) {
	w := &wire{sims: map[string]*sim.Provider{}}
	w.hf = guard(t, nil)
	address := w.provider(t, "primary")
	for _, dialect := range append(wireDialects, wireDialects...) {
		for _, streamed := range []bool{false, true} {
			resp, err := (&http.Client{Transport: w.hf}).Post(address+paths[dialect], "application/json", strings.NewReader(string(ask(dialect, "m", streamed))))
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if g := (got{status: resp.StatusCode, header: resp.Header, body: string(body), read: err}); !g.complete(dialect) {
				t.Errorf("%s, stream=%v: %s", dialect, streamed, g)
			}
		}
	}
	if n := len(w.hf.Status().Targets); n != 2 {
		t.Errorf("%d targets, want one for each vendor's dialects", n)
	}
}

func TestAProgramThatAsksCountlessHostsIsNotRememberedForEach(t *testing.T) {
	const hosts = 3000
	x := exchange{status: 200, kind: "application/json", body: []byte(`{"choices":[{"index":0,"message":{"content":"x"},"finish_reason":"stop"}]}`)}
	hf := guard(t, inMemory(x, [][]byte{x.body}))
	for i := range hosts {
		resp, err := (&http.Client{Transport: hf}).Post(fmt.Sprintf("http://host%d.invalid/v1/chat/completions", i), "application/json", strings.NewReader(`{"model":"m"}`))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Fatalf("host %d: status %d", i, resp.StatusCode)
		}
	}
	if n := len(hf.Status().Targets); n > 1024 {
		t.Errorf("%d targets are remembered", n)
	}
}
