package attack

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestS7NothingACallerSendsChoosesTheUpstream: every request goes to the host of
// the configuration.
func TestS7NothingACallerSendsChoosesTheUpstream(t *testing.T) {
	v := startVillain(t)
	var caught atomic.Int64
	trap := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { caught.Add(1) }))
	defer trap.Close()
	g := serve(t, settings(v.URL))
	host := strings.TrimPrefix(trap.URL, "http://")
	for _, name := range []string{
		"X-Portkey-Custom-Host", "X-Holdfast-Base-Url", "X-Holdfast-Target", "X-Holdfast-Provider", "X-Holdfast-Upstream", "X-Forwarded-Host", "X-Forwarded-Server", "Forwarded",
		"X-Host", "X-Original-Url", "X-Rewrite-Url", "X-Base-Url", "Base-Url", "Api-Base", "X-Litellm-Api-Base", "Openai-Base-Url", "Helicone-Target-Url", "X-Target-Url", "Destination", "Referer", "Origin",
	} {
		for _, value := range []string{host, trap.URL, trap.URL + "/v1", "host=" + host} {
			h := alice()
			h[name] = []string{value}
			if _, err := g.ask("POST", g.URL+"/v1/chat/completions", chat("chat", false), h); err != nil {
				t.Error(err)
			}
		}
	}
	for _, path := range []string{"/v1/proxy/" + trap.URL, "/" + trap.URL, "/v1/proxy/chat/completions?base_url=" + trap.URL, "/v1/chat/completions?api_base=" + trap.URL + "&host=" + host, "/@" + host + "/", "//" + host + "/v1/chat/completions", "/\\" + host} {
		_ = g.raw("POST " + path + " HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer " + aliceKey() + "\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")
	}
	for _, field := range []string{"base_url", "api_base", "host", "url", "custom_host", "api_key", "target", "provider", "callback_url", "webhook_url"} {
		body := strings.Replace(chat("chat", false), "{", fmt.Sprintf("{%q:%q,", field, trap.URL), 1)
		if _, err := g.ask("POST", g.URL+"/v1/chat/completions", body, alice()); err != nil {
			t.Error(err)
		}
	}
	image := fmt.Sprintf(`{"model":"chat","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":%q}}]}]}`, trap.URL+"/a.png")
	if _, err := g.ask("POST", g.URL+"/v1/chat/completions", image, alice()); err != nil {
		t.Error(err)
	}
	if caught.Load() > 0 {
		t.Errorf("%d requests went where a caller said", caught.Load())
	}
	for _, s := range v.saw() {
		if s.host != strings.TrimPrefix(v.URL, "http://") || s.header.Get("Authorization") != "Bearer "+providerKey() {
			t.Errorf("a request for %s came with the host %s", s.target, s.host)
		}
	}
}

// TestS9NoKeyFollowsARedirect.
func TestS9NoKeyFollowsARedirect(t *testing.T) {
	v := startVillain(t)
	var caught atomic.Int64
	trap := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { caught.Add(1) }))
	defer trap.Close()
	g := serve(t, settings(v.URL))
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, to := range []string{trap.URL + "/steal", strings.Replace(trap.URL, "http:", "", 1) + "/steal", "/v1/other"} {
			v.be(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", to)
				w.Header().Set("Refresh", "0; url="+to)
				w.WriteHeader(status)
			})
			for _, door := range []string{"/v1/chat/completions", "/v1/files"} {
				if a, err := g.ask("POST", g.URL+door, chat("chat", false), alice()); err != nil || a.status == 200 {
					t.Errorf("%d to %s is answered with %d, %v", status, to, a.status, err)
				}
			}
			if n := len(v.saw()); n != 2 {
				t.Errorf("%d to %s: the provider saw %d requests, want 2", status, to, n)
			}
		}
	}
	if caught.Load() > 0 {
		t.Errorf("%d redirects were followed", caught.Load())
	}
}

// echoes are ways in which a provider tells a credential that it was sent.
func echoes(credential string) map[string]http.HandlerFunc {
	var escaped strings.Builder
	for _, c := range []byte(credential) {
		fmt.Fprintf(&escaped, `\u%04x`, c)
	}
	failed := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	return map[string]http.HandlerFunc{
		"headers": func(w http.ResponseWriter, r *http.Request) {
			for name, values := range r.Header {
				w.Header()["X-Echo-"+name] = values
			}
			w.Header().Set("X-Goog-Api-Key", credential)
			w.Header().Set("Set-Cookie", "key="+credential)
			good(w, r)
		},
		"an error":         failed(401, `{"error":{"message":"Incorrect API key provided: `+credential+`.","type":"invalid_request_error","code":"invalid_api_key"}}`),
		"an escaped error": failed(400, `{"error":{"message":"bad key `+escaped.String()+`","type":"invalid_request_error"}}`),
		"a server's error": failed(500, `panic: `+credential+` <html>`),
		"a key in an URL":  failed(404, `{"error":{"message":"no https://host/?key=`+credential+`&x=1"}}`),
		"an answer":        failed(200, strings.Replace(goodAnswer, "hello", "you sent "+credential+" and "+escaped.String(), 1)),
		"a stream": func(w http.ResponseWriter, _ *http.Request) {
			stream(w, strings.Replace(goodEvents, "hello", credential, 1), 4096)
		},
		"a stream in pieces": func(w http.ResponseWriter, _ *http.Request) {
			stream(w, strings.Replace(goodEvents, "hello", credential, 1), 3)
		},
		"an error event": func(w http.ResponseWriter, _ *http.Request) {
			first, _, _ := strings.Cut(goodEvents, "\n\n")
			stream(w, first+"\n\ndata: {\"error\":{\"message\":\"key "+credential+" "+escaped.String()+"\"}}\n\n", 11)
		},
		"trailers": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Trailer", "X-Echo")
			good(w, r)
			w.Header().Set("X-Echo", credential)
		},
	}
}

// stream sends events n bytes at a time.
func stream(w http.ResponseWriter, text string, n int) {
	w.Header().Set("Content-Type", "text/event-stream")
	for len(text) > 0 {
		m := min(n, len(text))
		_, _ = io.WriteString(w, text[:m])
		_ = http.NewResponseController(w).Flush()
		text = text[m:]
	}
}

// TestS10AProviderCannotTellItsKeyToCallers in any part of any answer, nor to
// the log (S11).
func TestS10AProviderCannotTellItsKeyToCallers(t *testing.T) {
	v := startVillain(t)
	g := serve(t, settings(v.URL))
	for _, asked := range []struct{ path, model, key, header, value string }{
		{"/v1/chat/completions", "chat", providerKey(), "Authorization", "Bearer " + providerKey()},
		{"/v1/files/file-0123456789", "chat", providerKey(), "Authorization", "Bearer " + providerKey()},
		{"/v1/messages", "claude", otherKey(), "X-Api-Key", otherKey()},
	} {
		for name, echo := range echoes(asked.key) {
			for _, streamed := range []bool{false, true} {
				v.be(echo)
				a, err := g.ask("POST", g.URL+asked.path, chat(asked.model, streamed), alice())
				if len(v.saw()) != 1 || v.saw()[0].header.Get(asked.header) != asked.value {
					t.Errorf("%s: the provider was not sent the key: this proves nothing", name)
				}
				told := a.body
				for _, values := range a.header {
					told += " " + strings.Join(values, " ")
				}
				if found(told, asked.key) {
					t.Errorf("%s on %s, streamed %t: the caller reads the key: %d %.300s, %v", name, asked.path, streamed, a.status, told, err)
				}
			}
		}
	}
}

// TestS10NoKeyOfOursReachesAProvider, wherever the caller put it.
func TestS10NoKeyOfOursReachesAProvider(t *testing.T) {
	v := startVillain(t)
	g := serve(t, settings(v.URL))
	for _, name := range []string{"Authorization", "X-Api-Key", "Api-Key", "X-Holdfast-Key"} {
		h := http.Header{"Content-Type": {"application/json"}, "X-Api-Key": {aliceKey()}, "Api-Key": {bobKey()}, "X-Goog-Api-Key": {aliceKey()}}
		h.Set(name, aliceKey())
		if name == "Authorization" {
			h.Set(name, "Bearer "+aliceKey())
		}
		for _, path := range []string{"/v1/chat/completions", "/v1/files/file-0123456789"} {
			if a, err := g.ask("POST", g.URL+path, chat("chat", false), h); err != nil || a.status != 200 {
				t.Errorf("%s: %d, %v", name, a.status, err)
			}
		}
	}
	for _, s := range v.saw() {
		var all bytes.Buffer
		_ = s.header.Write(&all)
		if text := all.String() + s.target + string(s.body); strings.Contains(text, aliceKey()) || strings.Contains(text, bobKey()) {
			t.Errorf("the provider was sent a client key: %v", slicesOf(s.header))
		}
	}
}

func slicesOf(h http.Header) (names []string) {
	for name := range h {
		names = append(names, name)
	}
	return names
}

// TestS24AnAnswerThatUnfoldsIsPassedOnFolded: nobody here inflates it.
func TestS24AnAnswerThatUnfoldsIsPassedOnFolded(t *testing.T) {
	v := startVillain(t)
	g := serve(t, settings(v.URL))
	var bomb bytes.Buffer
	zip := gzip.NewWriter(&bomb)
	zeros := make([]byte, 1<<20)
	for range 32 {
		_, _ = zip.Write(zeros)
	}
	_ = zip.Close()
	v.be(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(bomb.Bytes())
	})
	g.measured(t, 64<<20, func() {
		for range 3 {
			if a, err := g.ask("POST", g.URL+"/v1/chat/completions", chat("chat", false), alice()); err == nil && len(a.body) > bomb.Len() {
				t.Errorf("%d bytes became %d", bomb.Len(), len(a.body))
			}
		}
	})
	v.be(nil)
	g.works(t)
}

// TestS23EndlessBodiesAreCapped, of errors, answers and lines.
func TestS23EndlessBodiesAreCapped(t *testing.T) {
	v := startVillain(t)
	g := serve(t, settings(v.URL))
	block := bytes.Repeat([]byte("x"), 1<<20)
	endless := func(status int, kind string, blocks int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(status)
			for range blocks {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		}
	}
	for name, answer := range map[string]http.HandlerFunc{
		"an error": endless(500, "application/json", 10_000), "an error of the caller's": endless(400, "text/html", 10_000),
		"a line of a stream": endless(200, "text/event-stream", 10_000),
	} {
		v.be(answer)
		g.measured(t, 128<<20, func() {
			a, err := g.ask("POST", g.URL+"/v1/chat/completions", chat("chat", true), alice())
			if err == nil && (a.status == 200 && !strings.Contains(a.body, "error") || len(a.body) > 16<<20) {
				t.Errorf("%s without end is answered with %d and %d bytes", name, a.status, len(a.body))
			}
		})
	}
	v.be(nil)
	g.works(t)
}

// TestS35AProviderCannotMakeUsWaitOrGrow by what its headers say.
func TestS35AProviderCannotMakeUsWaitOrGrow(t *testing.T) {
	v := startVillain(t)
	g := serve(t, strings.Replace(settings(v.URL), "max_attempts: 1", "max_attempts: 2", 1))
	for _, wait := range []string{"1e18", "-1", "99999999999999999999", "Fri, 31 Dec 2099 23:59:59 GMT", "Mon, 01 Jan 1990 00:00:00 GMT", "NaN", "inf", "0x10", "9223372036854775807", "1.7976931348623157e308", ";", "\u00e9", "60.5", " 7 "} {
		for i, name := range []string{"Retry-After", "Retry-After-Ms", "X-Ratelimit-Reset-Requests", "X-Ratelimit-Reset-Tokens", "Anthropic-Ratelimit-Requests-Reset"} {
			if i > 0 && !attacking() {
				continue // each waits for its deadline
			}
			v.be(func(w http.ResponseWriter, _ *http.Request) {
				w.Header()[name] = []string{wait}
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(503)
				_, _ = io.WriteString(w, `{"error":{"message":"busy"}}`)
			})
			h := alice()
			h.Set("X-Holdfast-Timeout-Ms", "400")
			began := time.Now()
			a, err := g.ask("POST", g.URL+"/v1/chat/completions", chat("chat", false), h)
			told := a.header.Get("Retry-After")
			if took := time.Since(began); err != nil || a.status < 429 || took > 5*time.Second || len(told) > 2 || strings.HasPrefix(told, "-") || told == "0" {
				t.Errorf("%s: %s is answered after %s with %d and Retry-After %q, %v", name, wait, took, a.status, told, err)
			}
		}
	}
	v.be(func(w http.ResponseWriter, r *http.Request) {
		for i := range 50_000 {
			w.Header().Add("X-"+fmt.Sprint(i), "y")
		}
		good(w, r)
	})
	g.measured(t, 64<<20, func() {
		if a, err := g.ask("POST", g.URL+"/v1/chat/completions", chat("chat", false), alice()); err != nil || a.status < 500 {
			t.Errorf("50,000 headers are answered with %d, %v", a.status, err)
		}
	})
}

// differing are bodies that two parsers may read differently.
func differing() map[string]string {
	deep := strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)
	wide := func(s string) string {
		b := []byte{0xff, 0xfe}
		for _, c := range []byte(s) {
			b = append(b, c, 0)
		}
		return string(b)
	}
	call := `"messages":[{"role":"user","content":"hi"}]}`
	return map[string]string{
		"model twice, ours last":      `{"model":"only-bobs","model":"chat",` + call,
		"model twice, ours first":     `{"model":"chat","model":"only-bobs",` + call,
		"model twice, one escaped":    `{"model":"chat","\u006dodel":"only-bobs",` + call,
		"Model and model":             `{"Model":"only-bobs","model":"chat",` + call,
		"model and MODEL":             `{"model":"chat","MODEL":"only-bobs",` + call,
		"only Model":                  `{"Model":"chat",` + call,
		"model in a nested object":    `{"x":{"model":"only-bobs"},"model":"chat",` + call,
		"a NUL in the name":           `{"model\u0000":"only-bobs","model":"chat",` + call,
		"model as a number":           `{"model":1,` + call,
		"model as null":               `{"model":null,` + call,
		"stream twice":                `{"model":"chat","stream":true,"stream":false,` + call,
		"a byte order mark":           "\ufeff" + `{"model":"chat",` + call,
		"UTF-16":                      wide(`{"model":"chat",` + call),
		"invalid UTF-8":               "{\"model\":\"chat\",\"x\":\"\xff\xfe\"," + call,
		"a lone surrogate":            `{"model":"chat","x":"\ud800",` + call,
		"nested 100,000 times":        `{"model":"chat","x":` + deep + `,` + call,
		"a comment":                   `{"model":"chat",/* "model":"only-bobs", */` + call,
		"a trailing comma":            `{"model":"chat",` + strings.TrimSuffix(call, "}") + `,}`,
		"two documents":               `{"model":"chat",` + call + `{"model":"only-bobs",` + call,
		"single quotes":               `{'model':'chat',` + call,
		"a number beyond all numbers": `{"model":"chat","n":1e999,` + call,
		"a list":                      `[{"model":"chat",` + call + `]`,
		"white space of others":       "\u00a0" + `{"model":"chat",` + call,
	}
}

// TestS36TheProviderReadsWhatWeRead or the request is refused: alice's body says
// the model of the route, for a parser that takes the first, the last, or any
// case.
func TestS36TheProviderReadsWhatWeRead(t *testing.T) {
	v := startVillain(t)
	g := serve(t, settings(v.URL))
	for name, body := range differing() {
		v.be(nil)
		a, err := g.ask("POST", g.URL+"/v1/chat/completions", body, alice())
		if err != nil || a.status >= 500 {
			t.Errorf("%s: %d %.200s, %v", name, a.status, a.body, err)
		}
		for _, s := range v.saw() {
			want := map[string]string{"chat": "gpt-4o", "only-bobs": "gpt-4o-mini"}[a.header.Get("X-Holdfast-Route")]
			if models := modelsIn(s.body); len(models) != 1 || models[0] != want {
				t.Errorf("%s: routed to %s, and the provider reads the models %q in %.200q", name, want, models, s.body)
			}
		}
	}
}

// modelsIn are the models that parsers may find at the top of a body.
func modelsIn(body []byte) (models []string) {
	seen := map[string]bool{}
	decoder := json.NewDecoder(bytes.NewReader(body))
	depth, name := 0, ""
	for isName := false; ; {
		token, err := decoder.Token()
		if err != nil {
			return models
		}
		switch v := token.(type) {
		case json.Delim:
			if v == '{' || v == '[' {
				depth++
				isName = v == '{' && depth == 1
				continue
			}
			depth--
			isName = depth == 1
		case string:
			if depth == 1 && isName {
				name, isName = v, false
				continue
			}
			if depth == 1 && strings.EqualFold(name, "model") && !seen[v] {
				seen[v] = true
				models = append(models, v)
			}
			isName = depth == 1
		default:
			isName = depth == 1
		}
	}
}

// TestS31NoTextOfOthersMakesALogLine: every line is one JSON document.
func TestS31NoTextOfOthersMakesALogLine(t *testing.T) {
	v := startVillain(t)
	g := serve(t, settings(v.URL))
	for _, text := range []string{"a\nb", "a\r\n{\"msg\":\"forged\"}", "\x1b[31mred", "\u2028{\"msg\":\"forged\"}", "\u2029", "a\u0085b", "\x00", "\x7f", "%0a{\"msg\":\"forged\"}", "\\n", "\"", "}\n{\"msg\":\"forged\"}"} {
		model, _ := json.Marshal(text)
		_, _ = g.ask("POST", g.URL+"/v1/chat/completions", fmt.Sprintf(`{"model":%s,"messages":[]}`, model), alice())
		_, _ = g.ask("POST", g.URL+"/v1/chat/completions", chat("chat", false), http.Header{"Authorization": {"Bearer " + aliceKey()}, "User-Agent": {text}, "X-Stainless-Retry-Count": {text}, "X-Request-Id": {text}})
		path := strings.NewReplacer("%", "%25", "\n", "%0a", "\r", "%0d", "\x1b", "%1b", "\u2028", "%e2%80%a8", "\u2029", "%e2%80%a9", "\u0085", "%c2%85", "\x00", "%00", "\x7f", "%7f", "\"", "%22", "{", "%7b", "}", "%7d", " ", "%20").Replace(text)
		_ = g.raw("GET /v1/" + path + " HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer " + aliceKey() + "\r\nConnection: close\r\n\r\n")
		_ = g.raw("GET /v1/models/" + path + " HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer " + aliceKey() + "\r\nX-A: " + text + "\r\nConnection: close\r\n\r\n")
	}
	g.works(t)
	g.stop()
	for line := range strings.Lines(g.out.String()) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil || fields["msg"] == "forged" || strings.ContainsAny(line, "\x1b\u2028\u2029\u0085\x00") {
			t.Errorf("not one line of ours: %q, %v", line, err)
		}
	}
}
