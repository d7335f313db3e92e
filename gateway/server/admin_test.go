package server_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/holdfast-gateway/holdfast/gateway/config"
	"github.com/holdfast-gateway/holdfast/gateway/explain"
	"github.com/holdfast-gateway/holdfast/gateway/server"
)

const withToken = `version: 1
listen: 127.0.0.1:0
admin:
  listen: 127.0.0.1:0
  token: a-token-of-operators
  hosts: [ops.example]
providers:
  openai:
    base_url: SIM
    api_key: sk-canary-0123456789
routes:
  chat:
    targets: [openai/sim/503, openai/gpt-4o]
`

// operate asks the API for operators.
func (g *gateway) operate(method, path, host string) (int, string) {
	g.t.Helper()
	req, err := http.NewRequestWithContext(g.t.Context(), method, "http://"+g.AdminAddr()+path, http.NoBody)
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer a-token-of-operators")
	if host != "" {
		req.Host = host
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestEveryAnswerCanBeExplainedByItsID(t *testing.T) {
	g := start(t, withToken, server.Options{})
	resp, body, err := g.ask("/v1/chat/completions", `{"model":"chat","stream":true,"messages":[{"role":"user","content":"a prompt of a caller"}]}`)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%v %s", err, body)
	}
	status, text := g.operate("GET", "/api/v1/requests/"+resp.Header.Get("X-Holdfast-Request-Id"), "")
	var s explain.Story
	if err := json.Unmarshal([]byte(text), &s); err != nil || status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	if s.Running || s.Status != 200 || len(s.Attempts) != 2 || s.Attempts[0].Next == nil || s.Attempts[0].Next.To != "openai/gpt-4o" || s.Answered != "gpt-4o" {
		t.Errorf("got %s", text)
	}
	resp, _, err = g.ask("/v1/chat/completions", `not JSON`)
	if err != nil {
		t.Fatal(err)
	}
	if status, text := g.operate("GET", "/api/v1/requests/"+resp.Header.Get("X-Holdfast-Request-Id"), ""); status != 200 || !strings.Contains(text, `"source": "gateway"`) {
		t.Errorf("refused at the door: %d %s", status, text)
	}
	for _, path := range []string{"/api/v1/status", "/api/v1/targets", "/api/v1/requests", "/api/v1/config", "/api/v1/breakers", "/api/v1/events?follow=false"} {
		status, text := g.operate("GET", path, "ops.example")
		if status != 200 || strings.Contains(text, "sk-canary") || strings.Contains(text, "a-token") || strings.Contains(text, "a prompt") {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
}

func TestScrapersNeedNoTokenAndOperatorsDo(t *testing.T) {
	g := start(t, withToken, server.Options{})
	for path, want := range map[string]int{"/metrics": 200, "/livez": 200, "/readyz": 200, "/api/v1/status": 401, "/api/v1/openapi.json": 401, "/debug/pprof/": 401, "/api": 401} {
		if status, _ := g.get("http://" + g.AdminAddr() + path); status != want {
			t.Errorf("%s: %d, want %d", path, status, want)
		}
	}
	if status, _ := g.operate("GET", "/api/v1/status", "rebound.example"); status != 421 {
		t.Errorf("under another name: %d", status)
	}
	if status, _ := g.get("http://" + g.Addr() + "/api/v1/status"); status == 200 {
		t.Error("callers can ask what operators can")
	}
}

func TestAnOperatorReloadsAndDrains(t *testing.T) {
	g := start(t, withToken, server.Options{})
	content, err := os.ReadFile(g.file)
	if err != nil {
		t.Fatal(err)
	}
	_, before := g.operate("GET", "/api/v1/status", "")
	write(t, g.file, strings.Replace(string(content), "targets:", "target:", 1))
	if status, text := g.operate("POST", "/api/v1/config/reload", ""); status != 422 || !strings.Contains(text, "unknown key") || strings.Contains(text, "sk-canary") {
		t.Errorf("a bad file: %d %s", status, text)
	}
	write(t, g.file, string(content)+"  second: {targets: [openai/gpt-4o]}\n")
	if status, text := g.operate("POST", "/api/v1/config/reload", ""); status != 200 || strings.Contains(before, digest(t, text)) {
		t.Errorf("a good file: %d %s", status, text)
	}
	if status, text := g.operate("POST", "/api/v1/drain", ""); status != 202 {
		t.Errorf("drain: %d %s", status, text)
	}
	if err := <-g.ended; err != nil {
		t.Errorf("ended with %v", err)
	}
	g.ended <- nil // for the end of the test
}

func digest(t *testing.T, text string) string {
	t.Helper()
	var f struct{ Digest string }
	if err := json.Unmarshal([]byte(text), &f); err != nil || len(f.Digest) != 64 {
		t.Fatalf("%v in %s", err, text)
	}
	return f.Digest
}

func TestAnAddressThatOthersReachNeedsATokenToStart(t *testing.T) {
	g := start(t, withToken, server.Options{})
	content, err := os.ReadFile(g.file)
	if err != nil {
		t.Fatal(err)
	}
	open := strings.Replace(strings.Replace(string(content), "  token: a-token-of-operators\n", "", 1), "admin:\n  listen: 127.0.0.1:0", "admin:\n  listen: 0.0.0.0:0", 1)
	write(t, g.file, open)
	if _, err := config.Load(g.file); err == nil || !strings.Contains(err.Error(), "there is no token for operators") {
		t.Errorf("got %v", err)
	}
}
