package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// gemini speaks Gemini's dialect for the simulated provider, which has none: it
// asks a chat completion and puts the answer into Gemini's shape, frame by
// frame, so that an answer breaks here as it breaks there. A model named
// "cut-after-40" has that fault; "gemini-sim" is well.
type gemini struct{ provider http.Handler }

// geminiRequest is what is understood of a request.
type geminiRequest struct {
	Contents []struct {
		Role  string
		Parts []geminiPart
	}
	Tools []struct {
		FunctionDeclarations []struct {
			Name                             string
			Parameters, ParametersJSONSchema json.RawMessage
		}
	}
	GenerationConfig struct {
		MaxOutputTokens    int
		ResponseJSONSchema json.RawMessage
	}
}

type geminiPart struct {
	Text         string          `json:"text,omitempty"`
	FunctionCall *geminiFunction `json:"functionCall,omitempty"`
	Response     json.RawMessage `json:"functionResponse,omitempty"`
}

type geminiFunction struct {
	Name string          `json:"name"`
	Args json.RawMessage `json:"args"`
}

func (g gemini) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, operation, _ := strings.Cut(r.URL.Path, "/v1beta/models/")
	model, method, _ := strings.Cut(operation, ":")
	var asked geminiRequest
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil || !strings.HasSuffix(strings.ToLower(method), "generatecontent") {
		http.Error(w, "no such operation", http.StatusNotFound)
		return
	}
	streamed := method == "streamGenerateContent"
	body, err := json.Marshal(asked.chat(model, streamed))
	if err != nil {
		panic(err)
	}
	chat := r.Clone(r.Context())
	chat.URL.Path, chat.URL.RawQuery, chat.RequestURI = "/v1/chat/completions", "", "/v1/chat/completions"
	chat.Body, chat.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	voice := &geminiVoice{ResponseWriter: w, streamed: streamed}
	defer voice.end()
	g.provider.ServeHTTP(voice, chat)
}

// chat is the request as OpenAI would have it.
func (a geminiRequest) chat(model string, streamed bool) map[string]any {
	if model != "gemini-sim" {
		model = "sim/" + model
	}
	body := map[string]any{"model": model, "stream": streamed, "stream_options": map[string]any{"include_usage": streamed}}
	if a.GenerationConfig.MaxOutputTokens > 0 {
		body["max_tokens"] = a.GenerationConfig.MaxOutputTokens
	}
	if schema := a.GenerationConfig.ResponseJSONSchema; schema != nil {
		body["response_format"] = map[string]any{"type": "json_schema", "json_schema": map[string]any{"name": "form", "schema": schema}}
	}
	var messages, tools []map[string]any
	for _, content := range a.Contents {
		for _, part := range content.Parts {
			role, text := map[string]string{"model": "assistant"}[content.Role], part.Text
			if role == "" {
				role = "user"
			}
			if part.Response != nil {
				role, text = "tool", string(part.Response)
			}
			messages = append(messages, map[string]any{"role": role, "content": text})
		}
	}
	for _, t := range a.Tools {
		for _, f := range t.FunctionDeclarations {
			tools = append(tools, map[string]any{"type": "function", "function": map[string]any{"name": f.Name, "parameters": f.ParametersJSONSchema}})
		}
	}
	body["messages"], body["tools"] = messages, tools
	return body
}

// geminiVoice puts what the provider writes into Gemini's shape. What it does
// not understand, as half a frame or a web page, passes as it is.
type geminiVoice struct {
	http.ResponseWriter
	streamed bool
	status   int
	body     bytes.Buffer // of an answer that is not streamed
	function geminiFunction
}

func (v *geminiVoice) Unwrap() http.ResponseWriter { return v.ResponseWriter }

func (v *geminiVoice) Flush() { _ = http.NewResponseController(v.ResponseWriter).Flush() }

func (v *geminiVoice) WriteHeader(status int) {
	v.status = status
	v.Header().Del("Content-Length")
	v.ResponseWriter.WriteHeader(status)
}

func (v *geminiVoice) Write(b []byte) (int, error) {
	if v.status == 0 {
		v.WriteHeader(http.StatusOK)
	}
	if !v.streamed || v.status != http.StatusOK {
		return v.body.Write(b)
	}
	var out bytes.Buffer
	for line := range bytes.Lines(b) {
		out.Write(v.line(line))
	}
	_, err := v.ResponseWriter.Write(out.Bytes())
	return len(b), err
}

// line is one line of a stream.
func (v *geminiVoice) line(line []byte) []byte {
	data, isData := bytes.CutPrefix(line, []byte("data: "))
	if bytes.Equal(bytes.TrimSpace(data), []byte("[DONE]")) {
		return nil
	}
	if said, ok := v.translate(data); ok && isData {
		return fmt.Appendf(nil, "data: %s\n", said)
	}
	return line
}

// end sends what was kept back, also when the provider drops the connection.
func (v *geminiVoice) end() {
	if v.body.Len() == 0 {
		return
	}
	said := v.body.Bytes()
	if translated, ok := v.translate(said); ok {
		said = translated
	}
	_, _ = v.ResponseWriter.Write(said)
}

var geminiFinishes = map[string]string{"stop": "STOP", "tool_calls": "STOP", "length": "MAX_TOKENS", "content_filter": "SAFETY"}

var geminiStatuses = map[int]string{
	400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND",
	429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED",
}

// translate puts a chat completion, one of its chunks or an error into Gemini's
// shape.
func (v *geminiVoice) translate(chat []byte) ([]byte, bool) {
	type said struct {
		Content, Refusal string
		Calls            []struct {
			Function struct{ Name, Arguments string }
		} `json:"tool_calls"`
	}
	var in struct {
		ID, Model string
		Choices   []struct {
			Message, Delta said
			Finish         string `json:"finish_reason"`
		}
		Usage *struct {
			Prompt     int `json:"prompt_tokens"`
			Completion int `json:"completion_tokens"`
			Total      int `json:"total_tokens"`
		}
		Error *struct{ Message string }
	}
	if json.Unmarshal(chat, &in) != nil || in.Error == nil && in.ID == "" {
		return nil, false
	}
	if in.Error != nil {
		status := v.status
		if status < 400 {
			status = http.StatusInternalServerError
		}
		return encoded(map[string]any{"error": map[string]any{"code": status, "message": in.Error.Message, "status": geminiStatuses[status]}}), true
	}
	out := map[string]any{"responseId": in.ID, "modelVersion": in.Model}
	if in.Usage != nil {
		out["usageMetadata"] = map[string]any{"promptTokenCount": in.Usage.Prompt, "candidatesTokenCount": in.Usage.Completion, "totalTokenCount": in.Usage.Total}
	}
	for _, choice := range in.Choices {
		text := choice.Message.Content + choice.Delta.Content + choice.Message.Refusal + choice.Delta.Refusal
		for _, c := range append(choice.Message.Calls, choice.Delta.Calls...) {
			v.function.Name += c.Function.Name
			v.function.Args = append(v.function.Args, c.Function.Arguments...)
		}
		candidate := map[string]any{"index": 0, "content": map[string]any{"role": "model", "parts": []geminiPart{{Text: text}}}}
		if finish := geminiFinishes[choice.Finish]; finish != "" {
			candidate["finishReason"] = finish
			if v.function.Name != "" { // in pieces there, whole here
				candidate["content"] = map[string]any{"role": "model", "parts": []geminiPart{{FunctionCall: &v.function}}}
			}
		}
		out["candidates"] = []any{candidate}
	}
	return encoded(out), true
}

func encoded(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // values of this package, which can be encoded
	}
	return b
}
