package server_test

import (
	"strings"
	"testing"

	"github.com/holdfast-gateway/holdfast/gateway/server"
)

func TestTargetsThatShareTheFirstPlaceAreNotAFallback(t *testing.T) {
	g := start(t, head+`
providers:
  openai:
    base_url: SIM
routes:
  shared:
    targets:
      - {target: openai/one, weight: 1}
      - {target: openai/two, weight: 1}
      - openai/three
  failing:
    targets: [openai/sim/503, openai/four]
`, server.Options{})
	for range 10 {
		for _, model := range []string{"shared", "failing"} {
			if resp, body, err := g.ask("/v1/chat/completions", `{"model":"`+model+`","messages":[{"role":"user","content":"hi"}]}`); err != nil || resp.StatusCode != 200 {
				t.Fatalf("%v %s", err, body)
			}
		}
	}
	_, text := g.get("http://" + g.AdminAddr() + "/metrics")
	for _, line := range []string{
		`holdfast_requests_total{dialect="chat",outcome="ok",reason="",route="shared"} 10`,
		`holdfast_requests_total{dialect="chat",outcome="degraded",reason="",route="failing"} 10`,
	} {
		if !strings.Contains(text, line) {
			t.Errorf("no line %s", line)
		}
	}
}
