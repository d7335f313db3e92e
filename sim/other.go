package sim

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"io"
	"math"
	"mime"
	"mime/multipart"
	"net/http"
	"time"

	"github.com/holdfast-gateway/holdfast/fault"
)

// This file holds the endpoints that make no words.

func (c *call) unknownPath() {
	if c.style == fault.Anthropic {
		c.refuse(fault.Error{Status: http.StatusNotFound, Type: "not_found_error", Message: "Not Found"})
		return
	}
	c.refuse(fault.Error{Status: http.StatusNotFound, Type: "invalid_request_error",
		Message: "Invalid URL (" + clip(c.r.Method) + " " + clip(c.r.URL.Path) + ")"})
}

func (c *call) countTokens() {
	if c.bad != nil {
		e, _ := c.invalid()
		c.refuse(e)
		return
	}
	c.whole(object("input_tokens", c.req.inputTokens()), 0)
}

// ---- models ----

// born is when all models were made, in Unix seconds.
const born = 1_750_000_000

// modelIDs are the sound models and all faults.
func modelIDs() []string {
	ids := []string{"gpt-sim", "claude-sim", "text-embedding-sim"}
	for _, info := range fault.List() {
		ids = append(ids, modelPrefix+info.Name)
	}
	return ids
}

func (c *call) model(id string) json.RawMessage {
	if c.style == fault.Anthropic {
		return object("type", "model", "id", id, "display_name", id, "created_at", time.Unix(born, 0).UTC())
	}
	return object("id", id, "object", "model", "created", born, "owned_by", "sim")
}

func (c *call) listModels() {
	ids := modelIDs()
	models := make([]json.RawMessage, len(ids))
	for i, id := range ids {
		models[i] = c.model(id)
	}
	if c.style == fault.Anthropic {
		c.whole(object("data", array(models...), "has_more", false, "first_id", ids[0], "last_id", ids[len(ids)-1]), 0)
		return
	}
	c.whole(object("object", "list", "data", array(models...)), 0)
}

// getModel knows every model, as generate does.
func (c *call) getModel() { c.whole(c.model(clip(c.r.PathValue("id"))), 0) }

// ---- stored responses ----

func (c *call) getResponse() {
	id := c.r.PathValue("id")
	if body, ok := c.p.responses.get(id); ok {
		c.whole(body, 0)
		return
	}
	c.noSuch("Response", id)
}

func (c *call) deleteResponse() {
	id := c.r.PathValue("id")
	if c.p.responses.forget(id) {
		c.whole(object("id", id, "object", "response.deleted", "deleted", true), 0)
		return
	}
	c.noSuch("Response", id)
}

func (c *call) noSuch(what, id string) {
	e := fault.Error{Status: http.StatusNotFound, Type: "invalid_request_error", Message: what + " with id '" + clip(id) + "' not found."}
	if c.style == fault.Anthropic {
		e.Type = "not_found_error"
	}
	c.refuse(e)
}

// ---- files ----

// upload takes a multipart form with a part named file and, at OpenAI, one named purpose.
func (c *call) upload() {
	file, err := readForm(c.r.Header.Get("Content-Type"), c.body)
	if err != nil {
		c.refuse(fault.Invalid(c.style, "file", "The body is not a form with a file."))
		return
	}
	id := "file-" + newID()
	about := object("id", id, "object", "file", "bytes", file.size, "created_at", int(time.Now().Unix()),
		"filename", file.name, "purpose", file.purpose, "status", "processed")
	if c.style == fault.Anthropic {
		about = object("id", id, "type", "file", "size_bytes", file.size, "created_at", time.Now().UTC(),
			"filename", file.name, "mime_type", file.kind, "downloadable", false)
	}
	c.p.files.update(id, func(json.RawMessage, bool) json.RawMessage { return about })
	c.whole(about, 0)
}

func (c *call) getFile() {
	id := c.r.PathValue("id")
	if about, ok := c.p.files.get(id); ok {
		c.whole(about, 0)
		return
	}
	c.noSuch("File", id)
}

type form struct {
	name, kind, purpose string
	size                int
	found               bool
}

func readForm(contentType string, body []byte) (form, error) {
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return form{}, err
	}
	var f form
	parts := multipart.NewReader(bytes.NewReader(body), params["boundary"])
	for {
		part, err := parts.NextPart()
		if err == io.EOF && f.found {
			return f, nil
		}
		if err != nil {
			return form{}, err
		}
		if err := f.take(part); err != nil {
			return form{}, err
		}
	}
}

func (f *form) take(part *multipart.Part) error {
	content, err := io.ReadAll(part) // bounded by the body
	switch part.FormName() {
	case "file":
		f.found, f.size = true, len(content)
		f.name, f.kind = clip(part.FileName()), clip(part.Header.Get("Content-Type"))
	case "purpose":
		f.purpose = clip(string(content))
	}
	return err
}

// ---- embeddings ----

const (
	defaultDimensions = 1536
	maxDimensions     = 4096
	maxInputs         = 2048
)

func (c *call) embed() {
	if c.bad != nil {
		e, _ := c.invalid()
		c.refuse(e)
		return
	}
	inputs, ok := c.req.inputs()
	if !ok || c.req.dimensions < 0 || c.req.dimensions > maxDimensions {
		c.refuse(fault.Invalid(c.style, "input", "'$.input' is invalid."))
		return
	}
	input := c.req.inputTokens()
	if wait := c.p.meters.admit(c.dials, charge{tokens: input}, false); wait > 0 {
		c.refuse(fault.RateLimited(c.style, wait))
		return
	}
	c.note(func(a *Attempt) { a.InputTokens = input })
	data := make([]json.RawMessage, len(inputs))
	for i, in := range inputs {
		data[i] = object("object", "embedding", "index", i, "embedding", c.embedding(in))
	}
	c.whole(object("object", "list", "data", array(data...), "model", c.req.model,
		"usage", object("prompt_tokens", input, "total_tokens", input)), 0)
}

// inputs returns the texts to embed: one text, several, or token numbers, as they came.
func (r request) inputs() ([]json.RawMessage, bool) {
	var list []json.RawMessage
	if json.Unmarshal(r.input, &list) != nil {
		var text string
		return []json.RawMessage{r.input}, json.Unmarshal(r.input, &text) == nil && text != ""
	}
	if len(list) == 0 || len(list) > maxInputs {
		return nil, false
	}
	var token int
	if json.Unmarshal(list[0], &token) == nil {
		return []json.RawMessage{r.input}, true // one text as token numbers
	}
	return list, true
}

// embedding returns a vector of length one that depends on seed, model and input alone.
func (c *call) embedding(input []byte) any {
	rng := voiceOf(c.dials.Seed, c.req.model, digest([]turn{{rest: input}}), "embedding")
	vector := make([]float64, orElse(c.req.dimensions, defaultDimensions))
	sum := 0.0
	for i := range vector {
		vector[i] = rng.NormFloat64()
		sum += vector[i] * vector[i]
	}
	short := make([]float32, len(vector))
	for i, x := range vector {
		short[i] = float32(x / math.Sqrt(sum))
	}
	if c.req.encoding != "base64" {
		return short
	}
	var packed []byte
	for _, x := range short {
		packed = binary.LittleEndian.AppendUint32(packed, math.Float32bits(x))
	}
	return base64.StdEncoding.EncodeToString(packed)
}
