package provider

import (
	"testing"
	"time"
)

func TestParseErrorReadsEveryShape(t *testing.T) {
	cases := []struct {
		name, body string
		want       ErrorBody
	}{
		{"OpenAI", `{"error":{"message":"m","type":"invalid_request_error","param":"input","code":"context_length_exceeded"}}`,
			ErrorBody{Type: "invalid_request_error", Code: "context_length_exceeded", Param: "input", Message: "m"}},
		{"Anthropic", `{"type":"error","error":{"type":"overloaded_error","message":"m","details":null},"request_id":"req_1"}`,
			ErrorBody{Type: "overloaded_error", Message: "m"}},
		{"Anthropic with details", `{"type":"error","error":{"type":"rate_limit_error","message":"m","details":{"error_code":"enforced_spend_limit_reached"}}}`,
			ErrorBody{Type: "rate_limit_error", Message: "m", Detail: "enforced_spend_limit_reached"}},
		{"Azure's filter", `{"error":{"message":"m","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation"}}}`,
			ErrorBody{Code: "content_filter", Param: "prompt", Message: "m", Status: 400, Detail: "ResponsibleAIPolicyViolation"}},
		{"Azure's number in quotes", `{"error":{"code":"401","message":"m"}}`, ErrorBody{Status: 401, Message: "m"}},
		{"Azure's repeated details", `{"error":{"code":"RateLimitReached","message":"m","details":"m"}}`, ErrorBody{Code: "RateLimitReached", Message: "m"}},
		{"Google", `{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED","details":[{"@type":"QuotaFailure","violations":[]},{"@type":"RetryInfo","retryDelay":"48s"}]}}`,
			ErrorBody{Type: "RESOURCE_EXHAUSTED", Status: 429, Message: "m", Wait: 48 * time.Second, HasWait: true}},
		{"Google's bad key", `{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}`,
			ErrorBody{Type: "INVALID_ARGUMENT", Status: 400, Message: "m", Detail: "API_KEY_INVALID"}},
		{"Google's stream", `[{"error":{"code":503,"message":"m","status":"UNAVAILABLE"}}]`, ErrorBody{Type: "UNAVAILABLE", Status: 503, Message: "m"}},
		{"OpenRouter", `{"error":{"message":"m","code":401},"user_id":"u"}`, ErrorBody{Status: 401, Message: "m"}},
		{"Perplexity", `{"error":{"message":"m","type":"invalid_api_key","code":401}}`, ErrorBody{Type: "invalid_api_key", Status: 401, Message: "m"}},
		{"xAI", `{"code":"invalid-argument","error":"m"}`, ErrorBody{Code: "invalid-argument", Message: "m"}},
		{"Mistral", `{"detail":"m"}`, ErrorBody{Message: "m"}},
		{"Mistral's list", `{"detail":[{"loc":["body"],"msg":"m","type":"missing"}]}`, ErrorBody{Message: "m"}},
		{"Mistral's other", `{"object":"error","message":"m","type":"invalid_model","code":"1500"}`, ErrorBody{Type: "invalid_model", Code: "1500", Message: "m"}},
		{"Bedrock", `{"message":"m"}`, ErrorBody{Message: "m"}},
		{"Bedrock with a type", `{"__type":"com.amazon.coral#ThrottlingException","Message":"m"}`, ErrorBody{Type: "ThrottlingException", Message: "m"}},
		{"Cohere", `{"id":"2d","message":"m"}`, ErrorBody{Message: "m"}},
		{"a proxy's wait", `{"error":"m","retry_after":120}`, ErrorBody{Message: "m", Wait: 2 * time.Minute, HasWait: true}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			c.want.JSON = true
			if got := ParseError([]byte(c.body)); got != c.want {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

func TestParseErrorKnowsWhatIsNoErrorBody(t *testing.T) {
	for _, body := range []string{"", "no healthy upstream", "<!DOCTYPE html><html>", `"text"`, `[]`, `["a"]`, `{"error":`, "null"} {
		if got := ParseError([]byte(body)); got != (ErrorBody{}) {
			t.Errorf("%q: got %+v", body, got)
		}
	}
}

func FuzzParseErrorNeverPanics(f *testing.F) {
	for _, s := range []string{`{"error":{"details":[1,{}]}}`, `[[]]`, `{"error":[]}`, `{"detail":[[]]}`, `{"retry_after":"1e999"}`, `{"code":"401\"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		b := ParseError(body)
		if b.Wait < 0 || b.HasWait && !b.JSON {
			t.Fatalf("%q: %+v", body, b)
		}
		v := Table(nil).Classifier()(Evidence{Status: 500, Body: body, Now: now})
		if v.Class == 0 || v.HasWait && v.Wait > MaxWait {
			t.Fatalf("%q: %+v", body, v)
		}
	})
}
