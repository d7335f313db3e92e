package edge

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
)

const modelsPath = "/v1/models"

func isModels(path string) bool {
	return path == modelsPath || strings.HasPrefix(path, modelsPath+"/")
}

// openaiModel is one entry of OpenAI's list of models.
type openaiModel struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
}

type openaiList struct {
	Object string        `json:"object"`
	Data   []openaiModel `json:"data"`
}

// anthropicModel is one entry of Anthropic's list of models.
type anthropicModel struct {
	Type        string `json:"type"`
	ID          string `json:"id"`
	DisplayName string `json:"display_name"`
	CreatedAt   string `json:"created_at"`
}

type anthropicPage struct {
	Data    []anthropicModel `json:"data"`
	HasMore bool             `json:"has_more"`
	FirstID *string          `json:"first_id"`
	LastID  *string          `json:"last_id"`
}

// models answers GET /v1/models and GET /v1/models/{id}: the names that callers
// may ask for, in the shape of the caller's SDK.
func (h *Handler) models(out *reply, r *http.Request) {
	names := h.modelsFor(&out.who)
	id := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, modelsPath), "/")
	shape := h.openaiModels
	if r.Header.Get("Anthropic-Version") != "" {
		shape = h.anthropicModels
	}
	switch {
	case id == "":
		list, _ := shape(names)
		out.json(list)
	case slices.Contains(names, id):
		_, one := shape([]string{id})
		out.json(one)
	default:
		out.refuse(r, call.Problem{Reason: call.ReasonUnknownRoute, Request: requestID(),
			Message: "No route takes the model \"" + capped(id) + "\"."})
	}
}

func (h *Handler) openaiModels(names []string) (list, first any) {
	entries := make([]openaiModel, len(names))
	for i, name := range names {
		entries[i] = openaiModel{ID: name, Object: "model", Created: h.started.Unix(), OwnedBy: "holdfast"}
	}
	if len(entries) > 0 {
		first = entries[0]
	}
	return openaiList{Object: "list", Data: entries}, first
}

func (h *Handler) anthropicModels(names []string) (list, first any) {
	entries := make([]anthropicModel, len(names))
	for i, name := range names {
		entries[i] = anthropicModel{Type: "model", ID: name, DisplayName: name, CreatedAt: h.started.UTC().Format(time.RFC3339)}
	}
	page := anthropicPage{Data: entries}
	if len(entries) > 0 {
		first = entries[0]
		page.FirstID, page.LastID = &names[0], &names[len(names)-1]
	}
	return page, first
}

func (r *reply) json(v any) {
	body, err := json.Marshal(v)
	if err != nil { // strings and numbers always have a JSON form
		panic(err)
	}
	r.Header().Set("Content-Type", "application/json")
	r.WriteHeader(http.StatusOK)
	_, _ = r.Write(body) // a caller who is gone hears nothing
}
