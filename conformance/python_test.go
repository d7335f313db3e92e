package conformance

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/holdfast-gateway/holdfast/internal/wanted"
	"github.com/holdfast-gateway/holdfast/sim"
)

// pythonStacks are the HTTP stacks of python/client.py.
var pythonStacks = map[string]string{"python-httpx": "httpx", "python-stdlib": "stdlib"}

// pythonWithHTTPX is an interpreter that has httpx. Debian's modules belong to
// Debian's, which may not be the first on the PATH.
func pythonWithHTTPX(t *testing.T) string {
	t.Helper()
	for _, candidate := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(candidate, "-c", "import httpx").Run() == nil {
			return candidate
		}
	}
	wanted.Missing(t, wanted.Python, "no python3 has httpx: apt-get install python3-httpx")
	return ""
}

func startPython(t *testing.T, python, stack string) *child {
	t.Helper()
	script, err := filepath.Abs(filepath.Join("python", "client.py"))
	if err == nil {
		_, err = os.Stat(script) // so that a change of it makes the tests run again
	}
	if err != nil {
		t.Fatal(err)
	}
	return startProcess(t, stack, exec.Command(python, "-B", script, stack))
}

// TestWhatPythonSaysOfItselfIsHeeded: its read timeout is the call's deadline,
// so that the gateway answers while somebody listens; a long Retry-After makes
// it give up at once, with our word and without; and its retries are its own
// no longer.
func TestWhatPythonSaysOfItselfIsHeeded(t *testing.T) {
	t.Parallel() // it mostly waits
	python := pythonWithHTTPX(t)
	for client, stack := range pythonStacks {
		t.Run(client, func(t *testing.T) {
			t.Parallel() // it mostly waits
			provider, address := startSim(t)
			gateway := serve(t, configuration(address, clocks{})).URL
			p := startPython(t, python, stack)
			for _, c := range pythonCalls {
				for _, streamed := range []bool{false, true} {
					provider.ClearLog()
					o := order{Flow: "chat", Base: gateway, Key: callersKey, Model: "sim/" + c.fault, Stream: streamed, Prompt: question, Timeout: c.timeout}
					if c.direct {
						o.Base = address
					}
					got, err := p.ask(o, flowDeadline)
					if err != nil {
						t.Fatal(err)
					}
					c.check(t, got, provider.Log(), streamed)
				}
			}
		})
	}
}

// pythonCall is a call and what comes of it.
type pythonCall struct {
	fault              string
	timeout            float64 // seconds; the SDK's default
	direct             bool
	status             int // 0: a whole answer
	requests, attempts int
	rests              bool // the account does, so that the next call is not sent
}

var pythonCalls = []pythonCall{
	{fault: "ok", requests: 1, attempts: 1},
	{fault: "silent", timeout: 2, status: 504, requests: 1, attempts: 1},
	{fault: "429-retry-after-130", status: 429, requests: 1, attempts: 1, rests: true},
	{fault: "429-retry-after-130", direct: true, status: 429, requests: 1, attempts: 1},
	{fault: "503", direct: true, status: 503, requests: 3, attempts: 3},
	{fault: "503", status: 503, requests: 1, attempts: 2},
}

func (c pythonCall) check(t *testing.T, got reply, log []sim.Attempt, streamed bool) {
	t.Helper()
	status, attempts := 0, c.attempts
	if c.rests && streamed {
		attempts = 0 // it was asked for not streamed before
	}
	if got.Error != nil {
		status = got.Error.Status
	}
	if status != c.status || got.Requests != c.requests || len(log) != attempts || got.Error == nil && got.Result == nil {
		t.Errorf("%+v, stream=%t: status %d, %d requests, %d attempts, error %+v", c, streamed, status, got.Requests, len(log), got.Error)
	}
}
