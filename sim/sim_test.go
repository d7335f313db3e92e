package sim_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/holdfast-gateway/holdfast/sim"
)

// dialect is one of the ways to ask for words.
type dialect struct {
	name, path string
	done       string // the terminator, as it stands in the stream
}

var dialects = []dialect{
	{"chat", "/v1/chat/completions", "data: [DONE]\n\n"},
	{"responses", "/v1/responses", "event: response.completed\n"},
	{"messages", "/v1/messages", "event: message_stop\n"},
}

// ask is the body of a request for words; extra are further fields, as JSON.
func (d dialect) ask(model, prompt string, stream bool, extra ...string) string {
	words := fmt.Sprintf(`"messages":[{"role":"user","content":%q}]`, prompt)
	limit := ""
	switch d.name {
	case "responses":
		words = fmt.Sprintf(`"input":%q`, prompt)
	case "messages":
		limit = `,"max_tokens":4096`
	}
	fields := append([]string{fmt.Sprintf(`"model":%q,"stream":%v,%s`, model, stream, words)}, extra...)
	return "{" + strings.Join(fields, ",") + limit + "}"
}

// start runs a provider on a loopback port.
func start(t *testing.T, d sim.Dials) (*sim.Provider, *httptest.Server) {
	t.Helper()
	p := sim.New(sim.Config{Dials: d})
	s := httptest.NewServer(p)
	t.Cleanup(s.Close)
	return p, s
}

// answer is what came back, as far as it came.
type answer struct {
	status int
	header http.Header
	body   string
	err    error // of reading the body
}

func post(t *testing.T, url, body string, headers ...string) answer {
	t.Helper()
	return do(t, http.DefaultClient, "POST", url, body, headers...)
}

// do sends a request; headers are name, value, name, value.
func do(t *testing.T, client *http.Client, method, url, body string, headers ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(b), err}
}

// raw sends a request by hand and returns the bytes of the wire until the server closes,
// and how the connection ended.
func raw(t *testing.T, s *httptest.Server, path, body string) (string, error) {
	t.Helper()
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: sim.test\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
	b, err := io.ReadAll(conn)
	return string(b), err
}

// frame is one server-sent event.
type frame struct{ event, data string }

// frames splits a stream into its complete events; comments are left out.
func frames(stream string) []frame {
	var out []frame
	var f frame
	scanner := bufio.NewScanner(strings.NewReader(stream))
	scanner.Buffer(nil, 8<<20)
	for scanner.Scan() {
		line := scanner.Text()
		switch {
		case line == "" && f != (frame{}):
			out, f = append(out, f), frame{}
		case strings.HasPrefix(line, "event: "):
			f.event = line[len("event: "):]
		case strings.HasPrefix(line, "data: "):
			f.data = line[len("data: "):]
		}
	}
	return out
}

// piece is the content of one event in any dialect.
type piece struct {
	Choices []struct {
		Delta struct {
			Content, Refusal *string
			ToolCalls        []struct {
				Function struct{ Arguments string }
			} `json:"tool_calls"`
		}
		FinishReason string `json:"finish_reason"`
	}
	Type  string
	Delta json.RawMessage
}

// tokens returns the content of a stream, token by token.
func tokens(stream string) []string {
	var out []string
	for _, f := range frames(stream) {
		var p piece
		if json.Unmarshal([]byte(f.data), &p) != nil {
			continue
		}
		if s, ok := p.content(); ok {
			out = append(out, s)
		}
	}
	return out
}

func (p piece) content() (string, bool) {
	for _, c := range p.Choices {
		for _, s := range []*string{c.Delta.Content, c.Delta.Refusal} {
			if s != nil && *s != "" {
				return *s, true
			}
		}
		if len(c.Delta.ToolCalls) > 0 && c.Delta.ToolCalls[0].Function.Arguments != "" {
			return c.Delta.ToolCalls[0].Function.Arguments, true
		}
	}
	var text string
	if strings.HasPrefix(p.Type, "response.") && json.Unmarshal(p.Delta, &text) == nil {
		return text, true
	}
	var delta struct {
		Text    string
		Partial string `json:"partial_json"`
	}
	if p.Type == "content_block_delta" && json.Unmarshal(p.Delta, &delta) == nil {
		return delta.Text + delta.Partial, true
	}
	return "", false
}

func words(stream string) string { return strings.Join(tokens(stream), "") }

// spoken is the text of a whole answer in any dialect.
func spoken(t *testing.T, body string) string {
	t.Helper()
	var a struct {
		Choices []struct {
			Message struct{ Content, Refusal string }
		}
		Output []struct {
			Arguments string
			Content   []struct{ Text, Refusal string }
		}
		Content []struct {
			Text  string
			Input json.RawMessage
		}
	}
	if err := json.Unmarshal([]byte(body), &a); err != nil {
		t.Fatalf("%v in %.200s", err, body)
	}
	var out bytes.Buffer
	for _, c := range a.Choices {
		out.WriteString(c.Message.Content + c.Message.Refusal)
	}
	for _, o := range a.Output {
		out.WriteString(o.Arguments)
		for _, c := range o.Content {
			out.WriteString(c.Text + c.Refusal)
		}
	}
	for _, c := range a.Content {
		out.WriteString(c.Text + string(c.Input))
	}
	return out.String()
}

// last returns the newest attempt in the log once it has ended.
func last(t *testing.T, p *sim.Provider) sim.Attempt {
	t.Helper()
	for { // the handler ends just after the caller has all bytes
		log := p.Log()
		if n := len(log); n > 0 && !log[n-1].Ended.IsZero() {
			return log[n-1]
		}
		if t.Context().Err() != nil {
			t.Fatal("the attempt has not ended")
		}
		runtime.Gosched()
	}
}
