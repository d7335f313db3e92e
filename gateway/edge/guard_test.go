package edge_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-gateway/holdfast/gateway/edge"
)

func TestRequestsThatNoHonestClientSendsAreRefused(t *testing.T) {
	asked := 0
	c := edge.Config{Transport: upstream(func(r *http.Request) (*http.Response, error) { asked++; return well(r) })}
	inside(t, c, func(t *testing.T, client *http.Client) {
		for _, test := range []struct {
			host, target string
			status       int
		}{
			{"gateway.test", "/v1/chat/completions", 200},
			{"gateway.test:8080", "/v1/chat/completions", 200},
			{"127.0.0.1", "/v1/chat/completions", 200},
			{"[::1]:443", "/v1/chat/completions", 200},
			{"under_score", "/v1/chat/completions?" + strings.Repeat("a&", 98) + "a", 200},
			{"gateway.test:", "/", 400},
			{"gateway.test:0", "/", 400},
			{"gateway.test:99999", "/", 400},
			{"gateway.test:80:80", "/", 400},
			{"a,b", "/", 400},
			{"[::1", "/", 400},
			{"[127.0.0.1]", "/", 400},
			{"a'b", "/", 400},
			{"gateway.test", "/v1/models?" + strings.Repeat("a=1&", 100) + "a=1", 400},
			{"gateway.test", "/v1/models?" + strings.Repeat("a=1;", 100) + "a=1", 400},
			{"gateway.test", "/v1/models/a%00b", 400},
			{"gateway.test", "/v1/models/a%0d%0ab", 400},
			{"gateway.test", "/v1/models/a%e2%80%a8b", 400},
		} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+test.target, strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			req.Host = test.host
			if resp := do(t, client, req); resp.StatusCode != test.status {
				t.Errorf("host %q, %.60s: %d, want %d", test.host, test.target, resp.StatusCode, test.status)
			} else if body := text(t, resp); !json.Valid([]byte(body)) {
				t.Errorf("host %q, %.60s: %q", test.host, test.target, body)
			}
		}
	})
	if asked != 5 {
		t.Errorf("the transport was asked %d times, want 5", asked)
	}
}

func TestABodyThatParsersReadDifferentlyIsRefused(t *testing.T) {
	inside(t, edge.Config{Transport: upstream(well)}, func(t *testing.T, client *http.Client) {
		for body, want := range map[string]int{
			`{"model":"a","x":{"model":"b","Model":"c"},"y":[{"model":"d"}]}`: 200,
			`{"model":"a","model":"b"}`:                                       400,
			`{"model":"a","Model":"b"}`:                                       400,
			`{"MODEL":"a"}`:                                                   400,
			`{"model":"a","\u006dodel":"b"}`:                                  400,
			`{"model":"a","stream":true,"stream":false}`:                      400,
			`{"model":"a","ſtream":true}`:                                     400,
			`{"model":"a","user":"b","user":"c"}`:                             200,
			`not JSON`:                                                        200, // for the transport to tell
		} {
			if resp := post(t, client, "/v1/chat/completions", body); resp.StatusCode != want {
				t.Errorf("%s: %d, want %d", body, resp.StatusCode, want)
			}
		}
		if resp := post(t, client, "/v1/other", `{"model":"a","model":"b"}`); resp.StatusCode != 200 {
			t.Errorf("a path that is not read: %d", resp.StatusCode)
		}
	})
}

func TestNoSpellingOfOurHeadersIsBelieved(t *testing.T) {
	var got http.Header
	c := edge.Config{Transport: upstream(func(r *http.Request) (*http.Response, error) { got = r.Header; return well(r) })}
	inside(t, c, func(t *testing.T, client *http.Client) {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/v1/chat/completions", strings.NewReader("{}"))
		for _, name := range []string{"X-Holdfast-Tenant", "x-holdfast-key", "X_Holdfast_Tenant", "x-HOLDFAST_tenant", "X-Holdfast-Request-Id", "X_holdfast-Timeout-Ms"} {
			req.Header[name] = []string{"forged"}
		}
		req.Header.Set("X-Holdfast-Timeout-Ms", "1000")
		do(t, client, req)
	})
	for name, values := range got {
		if strings.Contains(strings.ToLower(name), "holdfast") && (name != "X-Holdfast-Timeout-Ms" || !slices.Equal(values, []string{"1000"})) {
			t.Errorf("%s: %q went on", name, values)
		}
	}
	if got.Get("X-Holdfast-Timeout-Ms") != "1000" {
		t.Error("what a caller may say to us did not")
	}
}

func TestConnectionTakesNoCredentialAway(t *testing.T) {
	var got http.Header
	c := edge.Config{Transport: upstream(func(r *http.Request) (*http.Response, error) { got = r.Header; return well(r) })}
	inside(t, c, func(t *testing.T, client *http.Client) {
		post(t, client, "/v1/chat/completions", "{}", "Connection", "authorization, X-API-KEY, content-type, x-holdfast-timeout-ms, x-other",
			"Authorization", "Bearer a", "X-Api-Key", "b", "Content-Type", "application/json", "X-Holdfast-Timeout-Ms", "9", "X-Other", "c")
	})
	for _, name := range []string{"Authorization", "X-Api-Key", "Content-Type", "X-Holdfast-Timeout-Ms"} {
		if got.Get(name) == "" {
			t.Errorf("%s is gone", name)
		}
	}
	if got.Get("X-Other") != "" {
		t.Error("X-Other, which Connection names, went on")
	}
}

// pieced is a body that is read n bytes at a time.
type pieced struct {
	io.Reader
	n int
}

func (p pieced) Read(b []byte) (int, error) { return p.Reader.Read(b[:min(len(b), p.n)]) }

func escaped(secret, format string) string {
	var b strings.Builder
	for _, c := range []byte(secret) {
		fmt.Fprintf(&b, format, c)
	}
	return b.String()
}

// spellings are ways in which a provider could send a secret back.
func spellings(secret string) []string {
	return []string{
		secret, escaped(secret, `\u%04x`), escaped(secret, `\u%04X`), escaped(secret, "%%%02X"), `\u0073` + secret[1:], strings.ReplaceAll(secret, "/", `\/`),
	}
}

func TestAProviderThatSendsASecretBackSendsStars(t *testing.T) {
	const secret = "sk-canary/0123456789"
	for _, spelled := range spellings(secret) {
		for _, n := range []int{1, 2, 7, 4096} {
			c := edge.Config{
				Secrets: func() []string { return []string{"other-secret", secret, "sk-canary", "short"} },
				Transport: upstream(func(*http.Request) (*http.Response, error) {
					return answer(400, http.Header{"Content-Type": {"application/json"}, "X-Echo": {"Bearer " + spelled + " sent"}},
						pieced{strings.NewReader(`{"error":"sk- is short, sk-` + spelled + ` is wrong","x":"\\s"}`), n}), nil
				}),
			}
			inside(t, c, func(t *testing.T, client *http.Client) {
				resp := post(t, client, "/v1/chat/completions", "{}")
				hidden := strings.Repeat("*", len(spelled))
				if body := text(t, resp); body != `{"error":"sk- is short, sk-`+hidden+` is wrong","x":"\\s"}` {
					t.Errorf("%q in pieces of %d: %s", spelled, n, body)
				}
				if got := resp.Header.Get("X-Echo"); got != "Bearer "+hidden+" sent" {
					t.Errorf("%q in a header: %s", spelled, got)
				}
			})
		}
	}
}

func TestASecretCutShortAtTheEndIsNotTold(t *testing.T) {
	c := edge.Config{
		Secrets: func() []string { return []string{"sk-canary-0123456789"} },
		Transport: upstream(func(*http.Request) (*http.Response, error) {
			return answer(400, nil, strings.NewReader(`it is sk-canary-012345678`)), nil
		}),
	}
	inside(t, c, func(t *testing.T, client *http.Client) {
		if body := text(t, post(t, client, "/v1/chat/completions", "{}")); body != "it is "+strings.Repeat("*", 19) {
			t.Errorf("got %q", body)
		}
	})
}

func FuzzScrubbingChangesNothingButSecrets(f *testing.F) {
	const secret = "sk-canary/0123456789"
	f.Add([]byte("data: sk-canary/0123456789\n\n"), uint8(3))
	f.Add([]byte(`\u0073k-\u0063anary\/0123456789 sk-sk-canary/`), uint8(1))
	f.Add([]byte("%73k-%63anary%2F0123456789 %"), uint8(9))
	f.Fuzz(func(t *testing.T, text []byte, n uint8) {
		var pieces, whole bytes.Buffer
		original := bytes.Clone(text)
		edge.Scrub(&whole, []string{secret}, text)
		var cut [][]byte
		for piece := range slices.Chunk(text, int(n)+1) {
			cut = append(cut, piece)
		}
		edge.Scrub(&pieces, []string{secret}, cut...)
		switch {
		case !bytes.Equal(text, original):
			t.Error("the text that was written is changed")
		case pieces.String() != whole.String():
			t.Errorf("in pieces %q, whole %q", pieces.String(), whole.String())
		case whole.Len() != len(text):
			t.Errorf("%d bytes became %d", len(text), whole.Len())
		case strings.Contains(whole.String(), secret):
			t.Errorf("%q tells the secret", whole.String())
		}
		for i, c := range whole.Bytes() {
			if c != text[i] && c != '*' {
				t.Fatalf("byte %d: %q became %q", i, text[i], c)
			}
		}
	})
}
