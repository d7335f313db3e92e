package holdfast_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/sim"
)

// The zero Config guards the host a request names: here a provider that fails
// once.
func ExampleNewTransport() {
	provider := httptest.NewServer(sim.New(sim.Config{}))
	defer provider.Close()

	t, err := holdfast.NewTransport(holdfast.Config{})
	if err != nil {
		panic(err)
	}
	defer t.Close()
	client := &http.Client{Transport: t}

	resp, err := client.Post(provider.URL+"/v1/chat/completions", "application/json",
		strings.NewReader(`{"model":"sim/500-once","messages":[{"role":"user","content":"hi"}]}`))
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	fmt.Println(resp.StatusCode, "after", resp.Header.Get("X-Holdfast-Attempts"), "attempts")
	// Output: 200 after 2 attempts
}

// With routes, a call is answered by the first target that can.
func ExampleTransport_RoundTrip() {
	provider := httptest.NewServer(sim.New(sim.Config{}))
	defer provider.Close()

	t, err := holdfast.NewTransport(holdfast.Config{Routes: []holdfast.Route{{
		Name:   "chat",
		Models: []string{"gpt-*"},
		Targets: []holdfast.Target{
			{Provider: "primary", BaseURL: provider.URL, Model: "sim/503", Keys: []holdfast.Key{{Secret: "sk-1"}}},
			{Provider: "backup", BaseURL: provider.URL, Model: "sim/ok", Keys: []holdfast.Key{{Secret: "sk-2"}}},
		},
	}}})
	if err != nil {
		panic(err)
	}
	defer t.Close()
	client := &http.Client{Transport: t}

	resp, err := client.Post("http://any.invalid/v1/chat/completions", "application/json",
		strings.NewReader(`{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]}`))
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	fmt.Println(resp.StatusCode, resp.Header.Get("X-Holdfast-Provider"), resp.Header.Get("X-Holdfast-Degraded"))
	fmt.Println(resp.Header.Get("X-Holdfast-Attempt-Log"))
	for _, target := range t.Status().Targets {
		fmt.Println(target.Name, target.Breaker, target.Attempts)
	}
	// Output:
	// 200 backup fallback
	// primary;503, backup;200
	// backup/sim/ok closed 0
	// primary/sim/503 closed 1
}
