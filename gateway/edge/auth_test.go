package edge_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast/gateway/edge"
	"github.com/holdfast-gateway/holdfast/gateway/keys"
)

const (
	appKey  = "hfk_app"
	webKey  = "hfk_web"
	pastKey = "hfk_past"
)

// guarded is an edge with three keys: one for everything, one for the route
// chat, one whose time is over.
func guarded(t upstream) edge.Config {
	set := keys.NewSet([]keys.Key{
		{Name: "app", Digest: keys.DigestOf(appKey)},
		{Name: "web", Digest: keys.DigestOf(webKey), Routes: []string{"chat"}},
		{Name: "past", Digest: keys.DigestOf(pastKey), Expires: time.Unix(1, 0)},
	})
	return edge.Config{
		Transport: t,
		Keys:      func() (*keys.Set, bool) { return set, true },
		Models:    func() []string { return []string{"chat", "batch"} },
		Route: func(model string) string {
			if model == "chat" || model == "batch" {
				return model
			}
			return ""
		},
	}
}

// call makes a call with headers and returns the status and the body.
func callWith(t *testing.T, client *http.Client, method, path, body string, header ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(method, "http://gateway"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(content)
}

const askChat = `{"model":"chat","messages":[]}`

func TestNobodyCallsWithoutAKey(t *testing.T) {
	reached := false
	config := guarded(func(r *http.Request) (*http.Response, error) { reached = true; return well(r) })
	inside(t, config, func(t *testing.T, client *http.Client) {
		for _, path := range []string{"/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/embeddings", "/v1/files", "/anything", "/v1/models", "/v1/models/chat", "/"} {
			for _, header := range [][]string{
				nil, {"Authorization", "Bearer wrong"}, {"Authorization", appKey}, {"Authorization", "Basic " + appKey}, {"Authorization", "Bearer"},
				{"X-Api-Key", appKey + "x"}, {"Api-Key", ""}, {"X-Api-Key", pastKey}, {"X-Holdfast-Key", "wrong"},
				{"X-Api-Key", keys.DigestOf(appKey).String()}, {"Authorization", "Bearer \t"},
			} {
				for _, method := range []string{"GET", "POST", "DELETE"} {
					if path == "/" && method == "GET" {
						continue
					}
					if status, body := callWith(t, client, method, path, askChat, header...); status != http.StatusUnauthorized || reached {
						t.Errorf("%s %s with %q: %d %s (reached the provider: %t)", method, path, header, status, body, reached)
					}
				}
			}
		}
		if status, _ := callWith(t, client, "GET", "/", ""); status != http.StatusOK {
			t.Errorf("GET /: %d, want 200 for whoever knocks", status)
		}
	})
}

func TestARefusedKeyIsToldInTheCallersDialect(t *testing.T) {
	inside(t, guarded(well), func(t *testing.T, client *http.Client) {
		for path, want := range map[string]string{
			"/v1/chat/completions": `"code":"invalid_api_key"`,
			"/v1/messages":         `"type":"authentication_error"`,
		} {
			if status, body := callWith(t, client, "POST", path, askChat, "X-Api-Key", "hfk_secret_guess"); status != 401 || !strings.Contains(body, want) || strings.Contains(body, "guess") {
				t.Errorf("%s: %d %s", path, status, body)
			}
		}
		if _, body := callWith(t, client, "POST", "/v1/messages", askChat, "X-Api-Key", pastKey); !strings.Contains(body, "expired") {
			t.Errorf("an expired key is told as %s", body)
		}
	})
}

func TestAKeyOpensFromEachHeaderAndGoesNoFurther(t *testing.T) {
	var sent http.Header
	config := guarded(func(r *http.Request) (*http.Response, error) { sent = r.Header; return well(r) })
	inside(t, config, func(t *testing.T, client *http.Client) {
		for _, header := range [][]string{
			{"Authorization", "Bearer " + appKey}, {"Authorization", "bearer  " + appKey}, {"X-Api-Key", appKey}, {"Api-Key", appKey},
			{"X-Holdfast-Key", appKey, "Authorization", "Bearer sk-theirs"},
			{"Authorization", "Bearer sk-theirs", "X-Api-Key", appKey}, {"Authorization", "Bearer " + appKey, "X-Api-Key", pastKey},
		} {
			status, body := callWith(t, client, "POST", "/v1/chat/completions", askChat, header...)
			if status != 200 {
				t.Errorf("%q: %d %s", header, status, body)
			}
			if all := fmt.Sprint(sent); strings.Contains(all, "hfk_") || slices.Contains(header, "Bearer sk-theirs") != strings.Contains(all, "sk-theirs") {
				t.Errorf("%q: the transport got %v", header, sent)
			}
		}
	})
}

func TestAKeyOfSomeRoutesReachesNoOther(t *testing.T) {
	calls := 0
	config := guarded(func(r *http.Request) (*http.Response, error) { calls++; return well(r) })
	inside(t, config, func(t *testing.T, client *http.Client) {
		key := []string{"Authorization", "Bearer " + webKey}
		if status, _ := callWith(t, client, "POST", "/v1/chat/completions", askChat, key...); status != 200 || calls != 1 {
			t.Errorf("its own route: %d, %d calls", status, calls)
		}
		for _, body := range []string{
			`{"model":"batch","messages":[]}`, `{"messages":[]}`, `{"model":"other"}`, `not json`, ``,
		} {
			if status, told := callWith(t, client, "POST", "/v1/chat/completions", body, key...); status != 404 || calls != 1 {
				t.Errorf("%s: %d %s, %d calls", body, status, told, calls)
			}
		}
		if status, _ := callWith(t, client, "POST", "/v1/chat/completions", `{"model":"chat","messages":[],"model":"batch"}`, key...); status < 400 || calls != 1 {
			t.Errorf("two models in one body: %d, %d calls", status, calls)
		}
		for _, path := range []string{"/v1/files", "/v1/batches", "/v1/fine_tuning/jobs"} { // could be anything
			if status, _ := callWith(t, client, "POST", path, "{}", key...); status != 404 || calls != 1 {
				t.Errorf("%s: %d, %d calls", path, status, calls)
			}
		}
	})
}

func TestTheListOfModelsIsTheKeysOwn(t *testing.T) {
	inside(t, guarded(well), func(t *testing.T, client *http.Client) {
		for key, want := range map[string]string{appKey: "chat batch", webKey: "chat"} {
			_, body := callWith(t, client, "GET", "/v1/models", "", "X-Api-Key", key)
			var list struct{ Data []struct{ ID string } }
			if err := json.Unmarshal([]byte(body), &list); err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, m := range list.Data {
				names = append(names, m.ID)
			}
			if got := strings.Join(names, " "); got != want {
				t.Errorf("%s is shown %s, want %s", key, got, want)
			}
		}
		if status, body := callWith(t, client, "GET", "/v1/models/batch", "", "X-Api-Key", webKey); status != 404 || !strings.Contains(body, "model_not_found") {
			t.Errorf("a model of others: %d %s", status, body)
		}
	})
}

func TestKeysThatCannotBeCheckedLetNobodyIn(t *testing.T) {
	config := guarded(well)
	config.Keys = func() (*keys.Set, bool) { return nil, true }
	inside(t, config, func(t *testing.T, client *http.Client) {
		if status, body := callWith(t, client, "POST", "/v1/chat/completions", askChat, "X-Api-Key", appKey); status != http.StatusServiceUnavailable {
			t.Errorf("%d %s", status, body)
		}
	})
}
