package conformance

import (
	"bytes"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-gateway/holdfast/internal/wanted"
)

// curls are what people type, in the order of the handbook.
var curls = []struct {
	name, path, body string
	more             []string
}{
	{"a chat completion", "/v1/chat/completions", `{"model":"gpt-sim","messages":[{"role":"user","content":"hi"}]}`, nil},
	{"a stream of a chat completion", "/v1/chat/completions", `{"model":"gpt-sim","stream":true,"messages":[{"role":"user","content":"hi"}]}`, []string{"-N"}},
	{"a response", "/v1/responses", `{"model":"gpt-sim","input":"hi"}`, nil},
	{"a stream of a response", "/v1/responses", `{"model":"gpt-sim","stream":true,"input":"hi"}`, []string{"-N"}},
	{"an embedding", "/v1/embeddings", `{"model":"text-embedding-sim","input":"hi"}`, nil},
	{"a message", "/v1/messages", `{"model":"claude-sim","max_tokens":64,"messages":[{"role":"user","content":"hi"}]}`, []string{"-H", "anthropic-version: 2023-06-01"}},
	{"a stream of a message", "/v1/messages", `{"model":"claude-sim","max_tokens":64,"stream":true,"messages":[{"role":"user","content":"hi"}]}`, []string{"-N", "-H", "anthropic-version: 2023-06-01"}},
	{"a body in pieces", "/v1/chat/completions", `{"model":"gpt-sim","messages":[{"role":"user","content":"hi"}]}`, []string{"-H", "transfer-encoding: chunked"}},
	{"a body that waits to be asked for", "/v1/chat/completions", `{"model":"gpt-sim","messages":[{"role":"user","content":"hi"}]}`, []string{"-H", "expect: 100-continue"}},
	{"an answer that may be compressed", "/v1/chat/completions", `{"model":"gpt-sim","messages":[{"role":"user","content":"hi"}]}`, []string{"--compressed"}},
	{"HTTP/1.0", "/v1/chat/completions", `{"model":"gpt-sim","stream":true,"messages":[{"role":"user","content":"hi"}]}`, []string{"-N", "--http1.0"}},
	{"a mistake", "/v1/chat/completions", `{"model":"sim/400","messages":[]}`, nil},
	{"an unknown path", "/v1/nothing", `{}`, nil},
}

func TestCurlSeesTheSameThroughTheGateway(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		wanted.Missing(t, wanted.Curl, "curl is not installed")
	}
	provider := startTape(t)
	g := serve(t, configuration(provider, clocks{}))
	for _, c := range curls {
		t.Run(slug(c.name), func(t *testing.T) {
			args := append([]string{"-H", "content-type: application/json", "-H", "authorization: Bearer " + callersKey, "-d", c.body}, c.more...)
			direct := curl(t, provider+c.path, args)
			through := curl(t, g.URL+c.path, args)
			if direct.body == "" || through.body != direct.body || through.status != direct.status {
				t.Errorf("status %s and %q,\ndirectly %s and %q", through.status, through.body, direct.status, direct.body)
			}
			for name, values := range direct.header {
				if !slices.Contains(ofTheConnection, name) && !slices.Equal(through.header[name], values) {
					t.Errorf("the header %s is %q, directly %q", name, through.header[name], values)
				}
			}
			if id := through.header["x-holdfast-request-id"]; len(id) != 1 || !strings.HasPrefix(id[0], "hf_") {
				t.Errorf("x-holdfast-request-id is %q", id)
			}
		})
	}
}

// ofTheConnection are headers that belong to one connection, or to the time.
var ofTheConnection = []string{"date", "connection", "content-length", "transfer-encoding", "keep-alive"}

// TestCurlFailsWhereAnAnswerFails: with -f a broken call is an exit code to
// scripts, and a stream that broke holds an error event.
func TestCurlFailsWhereAnAnswerFails(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		wanted.Missing(t, wanted.Curl, "curl is not installed")
	}
	_, provider := startSim(t)
	g := serve(t, configuration(provider, short))
	cut := `{"model":"sim/cut-after-40","stream":%t,"messages":[{"role":"user","content":"hi"}]}`
	whole := exec.Command("curl", "-sf", "-m", "20", g.URL+"/v1/chat/completions", "-H", "content-type: application/json", "-d", fmt.Sprintf(cut, false))
	if out, err := whole.Output(); err == nil || len(out) > 0 {
		t.Errorf("half an answer is a success: %q", out)
	}
	got := curl(t, g.URL+"/v1/chat/completions", []string{"-N", "-H", "content-type: application/json", "-d", fmt.Sprintf(cut, true)})
	frames := strings.Split(strings.TrimSpace(got.body), "\n\n")
	if last := frames[len(frames)-1]; !strings.HasPrefix(last, `data: {"error":{`) || strings.Contains(got.body, "[DONE]") || len(frames) < 40 {
		t.Errorf("a stream that broke ends, after %d events, with %q", len(frames), last)
	}
}

// answered is what curl printed.
type answered struct {
	status string
	header map[string][]string // lower case
	body   string
}

// curl runs curl -si and reads what it prints.
func curl(t *testing.T, url string, args []string) answered {
	t.Helper()
	cmd := exec.Command("curl", append([]string{"-si", "-m", "20", url}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("curl: %v %s", err, stderr.String())
	}
	text := string(out)
	for strings.HasPrefix(text, "HTTP/1.1 100") {
		_, text, _ = strings.Cut(text, "\r\n\r\n")
	}
	head, body, _ := strings.Cut(text, "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	a := answered{status: strings.Fields(lines[0])[1], header: map[string][]string{}, body: body}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ": ")
		name = strings.ToLower(name)
		a.header[name] = append(a.header[name], value)
	}
	return a
}
