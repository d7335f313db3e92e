package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/holdfast-gateway/holdfast/internal/wanted"
)

// exchange is one recorded answer of a true provider.
type exchange struct {
	name, path, kind string
	status           int
	again            string // x-should-retry
	request, body    []byte
}

func (x exchange) streamed() bool { return strings.HasPrefix(x.kind, "text/event-stream") }

// recordings reads the answers that others recorded, where they are at hand.
func recordings(t *testing.T) []exchange {
	t.Helper()
	return recordingsOf(t, "ok", "stream")
}

func recordingsOf(t *testing.T, kinds ...string) (all []exchange) {
	t.Helper()
	root := wanted.Recordings(t)
	for _, kind := range kinds {
		files, _ := filepath.Glob(filepath.Join(root, "*", kind, "*.json"))
		for _, file := range files {
			stem := strings.TrimSuffix(file, ".json")
			if bodies, _ := filepath.Glob(stem + ".body.*"); len(bodies) == 1 {
				name, _ := filepath.Rel(root, stem)
				all = append(all, recording(t, filepath.ToSlash(name), file, bodies[0]))
			}
		}
	}
	if len(all) == 0 {
		t.Fatalf("no recordings in %s", root)
	}
	return all
}

func recording(t *testing.T, name, description, body string) exchange {
	t.Helper()
	var r struct {
		Request struct {
			Path string
			Body json.RawMessage
		}
		Response struct {
			Status  int
			Headers http.Header
		}
	}
	text, err := os.ReadFile(description)
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	x := exchange{name: name, path: r.Request.Path, request: r.Request.Body, status: r.Response.Status}
	if err == nil {
		x.body, err = os.ReadFile(body)
	}
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for header, values := range r.Response.Headers {
		switch strings.ToLower(header) {
		case "content-type":
			x.kind = values[0]
		case "x-should-retry":
			x.again = values[0]
		}
	}
	if strings.HasPrefix(name, "azure-openai/") { // the same dialect behind another path
		x.path = "/v1/chat/completions"
	}
	if !bytes.HasPrefix(x.request, []byte("{")) {
		x.request = fmt.Appendf(nil, `{"model":"m","stream":%t}`, strings.Contains(name, "/stream/"))
	}
	return x
}

// shapes are the forms in which a server may send the same stream.
func (x exchange) shapes() map[string][]byte {
	all := map[string][]byte{"as it is": x.body}
	if x.streamed() && !bytes.ContainsRune(x.body, '\r') {
		all["CRLF"] = bytes.ReplaceAll(x.body, []byte("\n"), []byte("\r\n"))
		all["without its last blank line"] = bytes.TrimRight(x.body, "\n")
		all["with comments"] = bytes.ReplaceAll(x.body, []byte("\n\n"), []byte("\n\n: keep-alive\n\n"))
	}
	return all
}

// cuts are the places where a server flushes.
var cuts = map[string]func(b []byte, i int) bool{
	"whole":             func([]byte, int) bool { return false },
	"7 B":               func(_ []byte, i int) bool { return i%7 == 0 },
	"inside characters": func(b []byte, i int) bool { return !utf8.RuneStart(b[i]) },
	"inside line ends":  func(b []byte, i int) bool { return b[i] == '\n' },
}

// TestTheGatewayChangesNoByte replays recorded answers through a gateway.
func TestTheGatewayChangesNoByte(t *testing.T) {
	all := recordings(t)
	stage := &replay{}
	server := httptest.NewServer(stage)
	defer server.Close()
	g := serve(t, strings.ReplaceAll(configuration(server.URL, clocks{}), `{base_url:`, `{lenient_end: true, base_url:`))
	client := plainClient(t)
	for _, x := range all {
		t.Run(x.name, func(t *testing.T) {
			for shape, body := range x.shapes() {
				for cut, here := range cuts {
					if cut == "7 B" && len(body) > 30_000 {
						continue // each piece is several system calls
					}
					stage.x, stage.body, stage.here = x, body, here
					if problem := stage.ask(t, client, g.URL); problem != "" {
						t.Errorf("%s, %s: %s", shape, cut, problem)
					}
				}
			}
		})
	}
}

// replay answers with one exchange. It serves one request at a time.
type replay struct {
	x    exchange
	body []byte
	here func(b []byte, i int) bool
	path string // that was asked for
	got  []byte // the request that came
}

func (s *replay) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.path = r.URL.RequestURI()
	s.got, _ = io.ReadAll(r.Body)
	w.Header().Set("Content-Type", s.x.kind)
	if s.x.again != "" {
		w.Header().Set("X-Should-Retry", s.x.again)
	}
	w.WriteHeader(s.x.status)
	flush := http.NewResponseController(w).Flush
	from := 0
	for i := 1; i < len(s.body); i++ {
		if s.here(s.body, i) {
			_, _ = w.Write(s.body[from:i])
			_ = flush()
			from = i
		}
	}
	_, _ = w.Write(s.body[from:])
}

// ask asks the gateway for the exchange and says what is wrong with the answer.
func (s *replay) ask(t *testing.T, client *http.Client, gateway string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", gateway+s.x.path, bytes.NewReader(s.x.request))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept-Encoding", "identity")
	resp, err := client.Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return err.Error()
	case resp.StatusCode != 200 || resp.Header.Get("Content-Type") != s.x.kind || resp.Header.Get("X-Holdfast-Attempts") != strconv.Itoa(1):
		return fmt.Sprintf("status %d, headers %v", resp.StatusCode, resp.Header)
	case !bytes.Equal(got, s.body):
		return fmt.Sprintf("%d bytes came out, %d went in", len(got), len(s.body))
	case !bytes.Equal(s.got, s.x.request) || s.path != s.x.path:
		return fmt.Sprintf("the provider was asked for %s with %d bytes instead of %s with %d", s.path, len(s.got), s.x.path, len(s.x.request))
	}
	return ""
}
