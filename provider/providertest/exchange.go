package providertest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// exchange is one request and the answer to it.
type exchange struct {
	id     string
	method string
	path   string // without the query
	ask    []byte // the request's body, when it is a JSON object
	status int
	header http.Header
	body   []byte
	inBand string // documented: the last frames of a stream that began well
}

func (x exchange) streamed() bool {
	return strings.HasPrefix(x.header.Get("Content-Type"), "text/event-stream")
}

// frames takes the body apart by what it is.
func (x exchange) frames() []event {
	kind, _, _ := strings.Cut(x.header.Get("Content-Type"), ";")
	switch kind {
	case "text/event-stream":
		return split(x.body)
	case "application/x-ndjson":
		var lines []event
		for _, line := range bytes.Split(bytes.TrimSpace(x.body), []byte("\n")) {
			lines = append(lines, event{data: line})
		}
		return lines
	case "application/vnd.amazon.eventstream":
		return splitBinary(x.body)
	}
	return []event{{data: x.body}}
}

// file is how an exchange is stored. A body stands in a file beside it, or in
// place as JSON or as text.
type file struct {
	Request struct {
		Method, Path string
		Body         json.RawMessage
	}
	Response struct {
		Status   int
		Headers  map[string]values
		Body     json.RawMessage
		BodyText string `json:"body_text"`
		BodyFile string `json:"body_file"`
	}
}

// values reads a header's value written as one string or as a list.
type values []string

func (v *values) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*v = values{one}
		return nil
	}
	return json.Unmarshal(text, (*[]string)(v))
}

func header(stored map[string]values) http.Header {
	h := http.Header{}
	for name, all := range stored {
		for _, value := range all {
			h.Add(name, value)
		}
	}
	return h
}

func readExchange(t *testing.T, id, name string) exchange {
	t.Helper()
	var f file
	readJSON(t, name, &f)
	path, _, _ := strings.Cut(f.Request.Path, "?")
	x := exchange{id: id, method: f.Request.Method, path: path, ask: f.Request.Body,
		status: f.Response.Status, header: header(f.Response.Headers)}
	switch {
	case f.Response.BodyFile != "":
		x.body = readFile(t, filepath.Join(filepath.Dir(name), f.Response.BodyFile))
	case f.Response.BodyText != "":
		x.body = []byte(f.Response.BodyText)
	default:
		x.body = f.Response.Body
	}
	return x
}

// readFolder returns the exchanges below dir, their ids prefixed.
func readFolder(t *testing.T, dir, prefix string) map[string]exchange {
	t.Helper()
	found := map[string]exchange{}
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(name) != ".json" || strings.HasSuffix(name, ".body.json") {
			return err
		}
		below, err := filepath.Rel(dir, strings.TrimSuffix(name, ".json"))
		if err != nil {
			return err
		}
		id := prefix + filepath.ToSlash(below)
		found[id] = readExchange(t, id, name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// documented is an entry of the list of error shapes from public reports.
type documented struct {
	ID, Provider string
	Status       int
	Headers      map[string]values
	Body         json.RawMessage
	BodyText     string `json:"body_text"`
	Tail         string `json:"sse_tail"`
}

// readDocumented returns the entries about one provider, and those about what
// stands between us and any of them.
func readDocumented(t *testing.T, root, vendor string) map[string]exchange {
	t.Helper()
	var entries []documented
	readJSON(t, filepath.Join(root, "documented", "errors.json"), &entries)
	found := map[string]exchange{}
	for _, e := range entries {
		if e.Provider != vendor && e.Provider != "intermediary" {
			continue
		}
		body := []byte(e.Body)
		if e.BodyText != "" {
			body = []byte(e.BodyText)
		}
		id, path := "documented/"+e.ID, ""
		if strings.Contains(e.ID, "responses") {
			path = "/v1/responses"
		}
		found[id] = exchange{id: id, method: http.MethodPost, path: path, status: e.Status, header: header(e.Headers), body: body, inBand: e.Tail}
	}
	return found
}

func readJSON(t *testing.T, name string, into any) {
	t.Helper()
	if err := json.Unmarshal(readFile(t, name), into); err != nil {
		t.Fatal(fmt.Errorf("%s: %w", name, err))
	}
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
