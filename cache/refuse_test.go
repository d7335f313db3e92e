package cache_test

import (
	"strings"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast/cache"
	"github.com/holdfast-gateway/holdfast/call"
)

func TestOnlyCallsWithOneAnswerAreTaken(t *testing.T) {
	for _, c := range []struct {
		name string
		op   call.Op
		r    call.Request
		body string
		want string
	}{
		{"temperature 0", call.OpChat, call.Request{}, `{"temperature":0}`, ""},
		{"0.0", call.OpMessages, call.Request{}, `{"temperature":0.0}`, ""},
		{"-0e0", call.OpChat, call.Request{}, `{"temperature":-0e0}`, ""},
		{"an escaped name", call.OpChat, call.Request{}, `{"temper\u0061ture":0}`, ""},
		{"no temperature", call.OpChat, call.Request{}, `{}`, cache.WhyTemperature},
		{"a temperature", call.OpChat, call.Request{}, `{"temperature":0.2}`, cache.WhyTemperature},
		{"null", call.OpChat, call.Request{}, `{"temperature":null}`, cache.WhyTemperature},
		{"a text", call.OpChat, call.Request{}, `{"temperature":"0"}`, cache.WhyTemperature},
		{"twice, once more", call.OpChat, call.Request{}, `{"temperature":0,"temperature":1}`, cache.WhyTemperature},
		{"twice, once less", call.OpChat, call.Request{}, `{"temperature":1,"temperature":0}`, cache.WhyTemperature},
		{"embeddings", call.OpEmbeddings, call.Request{}, `{"input":"x"}`, ""},
		{"counting", call.OpCountTokens, call.Request{}, `{"temperature":0}`, cache.WhyPath},
		{"another path", call.OpOther, call.Request{}, `{"temperature":0}`, cache.WhyPath},
		{"a stream", call.OpChat, call.Request{Stream: true}, `{"temperature":0}`, cache.WhyStream},
		{"tools", call.OpChat, call.Request{Tools: 1}, `{"temperature":0}`, cache.WhyTools},
		{"a search", call.OpChat, call.Request{}, `{"temperature":0,"web_search_options":{"a":1}}`, cache.WhyTools},
		{"a server of tools", call.OpMessages, call.Request{}, `{"temperature":0,"mcp_servers":[{}]}`, cache.WhyTools},
		{"a file", call.OpChat, call.Request{Refs: []string{"file_1"}}, `{"temperature":0}`, cache.WhyState},
		{"sealed thoughts", call.OpMessages, call.Request{Pinned: true}, `{"temperature":0}`, cache.WhyState},
		{"a stored answer", call.OpChat, call.Request{}, `{"temperature":0,"store":true}`, cache.WhyState},
		{"one that is not", call.OpChat, call.Request{}, `{"temperature":0,"store":false}`, ""},
		{"a response, stored by default", call.OpResponses, call.Request{}, `{"temperature":0}`, cache.WhyState},
		{"a response, stored", call.OpResponses, call.Request{}, `{"temperature":0,"store":true}`, cache.WhyState},
		{"a response, not stored", call.OpResponses, call.Request{}, `{"temperature":0,"store":false}`, ""},
		{"a response, said both ways", call.OpResponses, call.Request{}, `{"temperature":0,"store":false,"store":true}`, cache.WhyState},
		{"a response in the background", call.OpResponses, call.Request{}, `{"temperature":0,"store":false,"background":true}`, cache.WhyState},
		{"a prompt kept there", call.OpResponses, call.Request{}, `{"temperature":0,"store":false,"prompt":{"id":"p"}}`, cache.WhyState},
		{"broken", call.OpChat, call.Request{}, `{"temperature":0,`, cache.WhyState},
	} {
		if got := (cache.Config{}).Refuses(c.op, &c.r, []byte(c.body)); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestDrawsOfLotsAndToolsAreTakenWhenAsked(t *testing.T) {
	lots := cache.Config{AnyTemperature: cache.On}
	if why := lots.Refuses(call.OpChat, &call.Request{}, []byte(`{}`)); why != "" {
		t.Errorf("any temperature: %s", why)
	}
	if why := lots.Refuses(call.OpChat, &call.Request{Tools: 1}, []byte(`{}`)); why != cache.WhyTools {
		t.Errorf("any temperature, and tools: %q", why)
	}
	acts := cache.Config{Tools: cache.On}
	if why := acts.Refuses(call.OpChat, &call.Request{Tools: 1}, []byte(`{"temperature":0}`)); why != "" {
		t.Errorf("tools: %s", why)
	}
	streams := cache.Config{Streams: cache.On}
	if why := streams.Refuses(call.OpChat, &call.Request{Stream: true}, []byte(`{"temperature":0}`)); why != "" {
		t.Errorf("streams: %s", why)
	}
	if why := acts.Refuses(call.OpChat, &call.Request{Tools: 1, Stream: true}, []byte(`{"temperature":0}`)); why != cache.WhyStream {
		t.Errorf("tools in a stream: %q", why)
	}
}

func TestEveryMistakeInAConfigIsTold(t *testing.T) {
	err := cache.Config{Share: "yes", Scope: "world", AnyTemperature: "2", Tools: "no", Streams: "1", MaxEntries: -1, MaxBytes: 1, MaxEntry: 9}.Validate()
	if err == nil {
		t.Fatal("no error")
	}
	for _, key := range []string{"share: ", "scope: ", "any_temperature: ", "tools: ", "streams: ", "max_entries: ", "max_bytes: ", "max_entry: "} {
		if !strings.Contains(err.Error(), key) {
			t.Errorf("%q does not name %s", err, key)
		}
	}
	for _, c := range []cache.Config{{}, {TTL: time.Second}, {MaxBytes: 64 << 10}, {TTL: -1, StaleIfError: -1, Scope: cache.ScopeAll}} {
		if err := c.Validate(); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
