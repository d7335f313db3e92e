package attack

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// patterns are texts that a search would take for more than themselves, or take
// long to look for.
func patterns() []string {
	return []string{
		"%", "_", "%%", "c%", "%chat%", "c_at", "____", "openai/%", "%/%", "hf_%", "5__", strings.Repeat("%_", 5000), strings.Repeat("%", 10_000), strings.Repeat("_", 10_000), strings.Repeat("%a", 5000) + "b",
		"*", "?", "ch*", "chat*", "**", "c?at", "{chat,x}", strings.Repeat("*a", 5000), "[a-z]*", "[", "]", "[[:alpha:]]", "[^x]",
		".*", "^chat$", "ch.t", "chat|x", "(a+)+$", strings.Repeat("(a*)*", 2000) + "b", strings.Repeat("a", 9999) + "!", "\\", "\\%", "\\_", "\\d+", "(?i)CHAT", "$", "^", "+", "(", ")",
		"'", "' OR '1'='1", "\"", "chat'--", "x'; DROP TABLE calls;--", "chat\x00", "\x00", "\n", "chat\n", "\u00e9", "\u2028", "\xff\xfe", "CHAT", " chat", "chat ", "../chat", "%25", "%%25", "null", "undefined", "NaN", "-1", "1e9", "99999999999999999999",
	}
}

// soon is how long an answer to a search may take.
const soon = 100 * time.Millisecond

// promptly asks until an answer came soon, which a busy machine may hinder, and
// returns the last one.
func (g *gateway) promptly(t *testing.T, what string, do func() (answer, error)) (answer, bool) {
	t.Helper()
	best := time.Hour
	for range 5 {
		began := time.Now()
		a, err := do()
		if err != nil && strings.Contains(err.Error(), "invalid") {
			return a, false // our own client refuses to send it
		}
		if err != nil {
			t.Errorf("%s: %v", what, err)
			return a, false
		}
		if best = min(best, time.Since(began)); best <= soon {
			return a, true
		}
	}
	t.Errorf("%s is answered after %s at best, want %s", what, best, soon)
	return answer{}, false
}

// described is the operators' API as it describes itself.
type described struct {
	Paths map[string]map[string]struct {
		Parameters []struct {
			Name, In string
			Schema   struct{ Type string }
		}
		Responses map[string]struct {
			Content map[string]any
		}
	}
}

// TestS2EverySearchTakesAPatternForItself: each parameter that the operators'
// API has, whichever these are.
func TestS2EverySearchTakesAPatternForItself(t *testing.T) {
	v := startVillain(t)
	g := serve(t, settings(v.URL))
	for range 100 {
		g.works(t)
	}
	_, text, err := g.operator("GET", "/api/v1/openapi.json", "")
	var api described
	if err != nil || json.Unmarshal([]byte(text), &api) != nil {
		t.Fatalf("%v in %.200s", err, text)
	}
	var searched []string
	for path, methods := range api.Paths {
		for method, o := range methods {
			var follow string
			if o.Responses["200"].Content["text/event-stream"] != nil {
				follow = "follow=false&" // or it would not end
			}
			for _, p := range o.Parameters {
				searched = append(searched, p.Name)
				for _, pattern := range patterns() {
					what := fmt.Sprintf("%s %s with %.40q as %s", method, path, pattern, p.Name)
					target, header := path, http.Header{"Authorization": {"Bearer " + adminToken()}, "Content-Type": {"application/json"}}
					switch p.In {
					case "path":
						target = strings.Replace(path, "{"+p.Name+"}", url.PathEscape(pattern), 1)
					case "query":
						if p.Name == "follow" {
							follow = ""
						}
						target += "?" + follow + url.Values{p.Name: {pattern}}.Encode()
					case "header":
						target += "?" + follow
						header[http.CanonicalHeaderKey(p.Name)] = []string{pattern}
					default:
						t.Errorf("%s: nobody tests a parameter in %s", what, p.In)
						continue
					}
					a, ok := g.promptly(t, what, func() (answer, error) {
						return g.ask(strings.ToUpper(method), g.admin+strings.TrimSuffix(target, "?"), "", header)
					})
					if !ok {
						continue
					}
					if _, documented := o.Responses[strconv.Itoa(a.status)]; !documented || a.status >= 500 {
						t.Errorf("%s: %d %.200s", what, a.status, a.body)
					}
					var found struct{ Requests []any }
					if a.status == 200 && p.In != "header" && (json.Unmarshal([]byte(a.body), &found) != nil || len(found.Requests) > 0) {
						t.Errorf("%s finds %.200s", what, a.body)
					}
				}
			}
		}
	}
	for _, known := range []string{"route", "target", "tenant", "class", "status", "limit", "failed", "id", "follow", "Last-Event-ID"} {
		if !slices.Contains(searched, known) {
			t.Errorf("the document has no parameter %s: this proves nothing", known)
		}
	}
	for _, query := range []string{"route=chat", "target=openai%2Fgpt-4o", "tenant=a", "class=ok"} {
		status, text, err := g.operator("GET", "/api/v1/requests?limit=1000&"+query, "")
		var found struct{ Requests []any }
		if err != nil || status != 200 || json.Unmarshal([]byte(text), &found) != nil || len(found.Requests) != 100 {
			t.Errorf("%s finds %d calls, want 100: %d, %v", query, len(found.Requests), status, err)
		}
	}
}

// TestS2ANameThatACallerAsksForIsNoPattern: not as a model, and not as a tool.
func TestS2ANameThatACallerAsksForIsNoPattern(t *testing.T) {
	v := startVillain(t)
	g := serve(t, settings(v.URL))
	for _, pattern := range patterns() {
		body, _ := json.Marshal(map[string]any{"model": pattern, "messages": []any{}})
		a, ok := g.promptly(t, fmt.Sprintf("the model %.40q", pattern), func() (answer, error) {
			return g.ask("POST", g.URL+"/v1/chat/completions", string(body), alice())
		})
		if ok && a.status != 404 && a.status != 400 {
			t.Errorf("the model %.40q: %d %.200s", pattern, a.status, a.body)
		}
		a, ok = g.promptly(t, fmt.Sprintf("a look for the model %.40q", pattern), func() (answer, error) {
			return g.ask("GET", g.URL+"/v1/models/"+url.PathEscape(pattern), "", alice())
		})
		if ok && a.status != 404 && a.status != 400 {
			t.Errorf("a look for the model %.40q: %d %.200s", pattern, a.status, a.body)
		}
	}
	if seen := v.saw(); len(seen) > 0 {
		t.Errorf("%d calls reached the provider, the first for %s", len(seen), seen[0].target)
	}
}

// TestS2TheCommandsTakeAPatternForItself.
func TestS2TheCommandsTakeAPatternForItself(t *testing.T) {
	v := startVillain(t)
	g := serve(t, settings(v.URL))
	g.works(t)
	run := func(args ...string) (int, string) {
		c := gatewayProcess(append(args, "--admin", g.admin)...)
		c.Env = append(c.Env, "HOLDFAST_ADMIN_TOKEN="+adminToken())
		out, err := c.CombinedOutput()
		return exitCode(err), string(out)
	}
	for _, pattern := range []string{"%", strings.Repeat("%_", 5000), "hf_%", "call_*", ".*", "(a+)+$", "\\"} {
		if code, told := run("explain", pattern); code != 1 || !strings.Contains(told, "is not remembered") {
			t.Errorf("explain %.40q ended with %d and told %.300s", pattern, code, told)
		}
		if code, told := run("events", "--kind", pattern); code != 0 || told != "" {
			t.Errorf("events of the kind %.40q ended with %d and told %.300s", pattern, code, told)
		}
	}
	if code, told := run("events", "--kind", "call_ended"); code != 0 || told == "" {
		t.Errorf("there are no events: this proves nothing: %d %s", code, told)
	}
}
