// Package azure is everything known of Azure OpenAI and Azure AI Foundry: where
// deployments and versions stand in an address, its two kinds of credential, and
// how its content filter speaks.
package azure

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/dialect/chat"
	"github.com/holdfast-gateway/holdfast/dialect/responses"
	"github.com/holdfast-gateway/holdfast/provider"
)

// FoundryVersion is the api-version for addresses that end in /models, which
// need one, where neither the operator nor the caller names it.
const FoundryVersion = "2024-05-01-preview"

// New returns what is known of Azure.
func New() *provider.Vendor {
	return &provider.Vendor{
		Name:       "azure",
		GenAI:      "azure.ai.openai",
		Hosts:      []string{".openai.azure.com", ".services.ai.azure.com", ".cognitiveservices.azure.com"},
		Table:      table,
		Address:    address,
		Endpoint:   endpoint,
		Classify:   classify,
		Sign:       sign,
		Reasoning:  reasoning,
		Dialect:    chat.New(),
		RequestID:  "Apim-Request-Id",
		StrictEnd:  true,
		Credential: []string{"Api-Key", "Authorization"},
	}
}

// endpoint reads the paths of callers that speak to OpenAI, and Azure's own.
func endpoint(method, path string) provider.Endpoint {
	if method != http.MethodPost {
		return provider.Endpoint{}
	}
	deployment, operation, own := ownPath(path)
	if i := strings.LastIndex(path, "/v1/"); !own && i >= 0 {
		operation = path[i+len("/v1/"):]
	}
	switch operation {
	case "chat/completions":
		return provider.Endpoint{Op: call.OpChat, Dialect: filtered{chat.New()}, Model: deployment}
	case "responses":
		return provider.Endpoint{Op: call.OpResponses, Dialect: responses.New()}
	case "embeddings":
		return provider.Endpoint{Op: call.OpEmbeddings, Dialect: chat.New(), Model: deployment}
	}
	return provider.Endpoint{}
}

// ownPath takes a path apart that Azure's own clients use:
// /openai/deployments/{deployment}/{operation}, /openai/{operation} and
// /models/{operation}. The v1 paths are OpenAI's.
func ownPath(path string) (deployment, operation string, ok bool) {
	if rest, is := strings.CutPrefix(path, "/models/"); is {
		return "", rest, true
	}
	rest, is := strings.CutPrefix(path, "/openai/")
	if !is || strings.HasPrefix(rest, "v1/") {
		return "", "", false
	}
	if below, is := strings.CutPrefix(rest, "deployments/"); is {
		deployment, operation, ok = strings.Cut(below, "/")
		if !ok || deployment == "" {
			return "", "", false
		}
		return deployment, operation, true
	}
	return "", rest, true
}

// sign puts an Entra ID token, which is a JSON Web Token, where tokens go, and a
// key where keys go.
func sign(h http.Header, key call.Secret) {
	provider.StripCredentials(h)
	text := string(key)
	if token, ok := strings.CutPrefix(text, "Bearer "); ok || isToken(text) {
		if ok {
			text = token
		}
		h.Set("Authorization", "Bearer "+text)
		return
	}
	h.Set("Api-Key", text)
}

func isToken(s string) bool { return strings.HasPrefix(s, "eyJ") && strings.Count(s, ".") == 2 }

// reasoning can only guess: a deployment may have any name.
func reasoning(model string) bool {
	for _, family := range [...]string{"o1", "o3", "o4", "gpt-5"} {
		if strings.HasPrefix(model, family) {
			return true
		}
	}
	return false
}

func text(_ provider.Evidence, body provider.ErrorBody) (time.Duration, bool) {
	return provider.WaitInText(body.Message)
}

func resets(e provider.Evidence, _ provider.ErrorBody) (time.Duration, bool) {
	return provider.ResetDurations(e.Header)
}

// address puts a request where the base and the version say:
//
//   - a base that ends in /openai/v1 or /v1, or no version: the v1 API, whose
//     paths are OpenAI's;
//   - a base that ends in /models: Foundry's model inference;
//   - a version: /openai/deployments/{model}/..., or /openai/... for what knows
//     no deployment.
//
// A caller of Azure's own paths keeps its form and its version; its deployment
// becomes the model that was chosen.
func address(p provider.Place) *url.URL {
	u := provider.At(p.Base, p.Asked)
	base := strings.TrimSuffix(p.Base.Path, "/")
	version := p.Version
	if own := p.Asked.Query().Get("api-version"); version == "" {
		version = own
	}
	deployment, operation, own := ownPath(p.Asked.Path)
	if !own {
		operation = operationOf(p.Asked.Path)
	}
	switch {
	case strings.HasSuffix(base, "/models"):
		if version == "" {
			version = FoundryVersion
		}
		place(u, base, operation)
	case strings.HasSuffix(base, "/v1"):
		version = ""
		place(u, base, operation)
	case version == "":
		place(u, strings.TrimSuffix(base, "/openai")+"/openai/v1", operation)
	default:
		model := p.Model
		if model == "" {
			model = deployment
		}
		versioned(u, strings.TrimSuffix(base, "/openai")+"/openai", operation, model)
	}
	setVersion(u, version)
	return u
}

// operationOf returns what stands behind the version of OpenAI's path.
func operationOf(path string) string {
	if _, after, ok := strings.Cut(path, "/v1/"); ok {
		return after
	}
	return strings.TrimPrefix(path, "/")
}

// perDeployment are the operations that the versioned API has below a deployment.
var perDeployment = []string{"chat/completions", "completions", "embeddings", "images/", "audio/"}

func versioned(u *url.URL, prefix, operation, model string) {
	for _, known := range perDeployment {
		if model != "" && (operation == known || strings.HasSuffix(known, "/") && strings.HasPrefix(operation, known)) {
			u.Path = prefix + "/deployments/" + model + "/" + operation
			u.RawPath = prefix + "/deployments/" + escape(model) + "/" + operation
			return
		}
	}
	place(u, prefix, operation)
}

func place(u *url.URL, prefix, operation string) { u.Path, u.RawPath = prefix+"/"+operation, "" }

// escape keeps a model's name from walking about in the path: the caller chose it.
func escape(model string) string {
	if strings.Trim(model, ".") == "" { // "." and ".." are steps
		return strings.ReplaceAll(model, ".", "%2E")
	}
	return url.PathEscape(model)
}

func setVersion(u *url.URL, version string) {
	q := u.Query()
	q.Del("api-version")
	if version != "" {
		q.Set("api-version", version)
	}
	u.RawQuery = q.Encode()
}
