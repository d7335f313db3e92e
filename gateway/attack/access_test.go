package attack

import (
	"fmt"
	"math"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// doors are paths of callers that could lead to a provider, or tell something.
var doors = []struct{ method, path string }{
	{"POST", "/v1/chat/completions"}, {"POST", "/v1/responses"}, {"POST", "/v1/embeddings"},
	{"POST", "/v1/messages"}, {"POST", "/v1/messages/count_tokens"},
	{"GET", "/v1/models"}, {"GET", "/v1/models/chat"},
	{"GET", "/v1/responses/resp_0123456789"}, {"DELETE", "/v1/responses/resp_0123456789"}, {"POST", "/v1/responses/resp_0123456789/cancel"},
	{"POST", "/v1/files"}, {"GET", "/v1/files/file-0123456789"}, {"GET", "/v1/files/file-0123456789/content"},
	{"POST", "/v1/batches"}, {"POST", "/v1/images/generations"}, {"POST", "/v1/audio/speech"}, {"POST", "/v1/moderations"},
	{"GET", "/v1/realtime"}, {"POST", "/v1/proxy/anything"}, {"GET", "/openai/deployments/a/chat/completions"},
	{"POST", "/v1/completions"}, {"PUT", "/v1/anything"}, {"PATCH", "/v1/anything"}, {"DELETE", "/v1/anything"},
	{"POST", "//v1/chat/completions"}, {"POST", "/V1/chat/completions"}, {"POST", "/x/v1/chat/completions"},
	{"POST", "/v1/chat/completions/"}, {"POST", "/v1/chat/../chat/completions"}, {"POST", "/v1/%63hat/completions"},
}

// injections are what was sent to others in place of a key.
func injections() []string {
	all := []string{
		"' OR '1'='1", "' OR 1=1--", "\" OR \"\"=\"", "'; DROP TABLE keys;--", "') OR ('1'='1", "' UNION SELECT null--", "admin'--", "1; SELECT pg_sleep(9)",
		"%", "%%", "_", "*", "?", "null", "nil", "undefined", "None", "true", "0", "[]", "{}", "${ENV}", "{{7*7}}", "$(id)", "`id`", "../../etc/passwd",
		"\\x00", "%00", "%27%20OR%201=1", "sk-" + strings.Repeat("a", 4000), "Bearer", "Bearer Bearer", "hf_", "sha256:", digestOf(aliceKey()), "sha256:" + digestOf(aliceKey()),
		strings.ToLower(aliceKey()), strings.ToUpper(aliceKey()), aliceKey() + "x", aliceKey()[1:], aliceKey()[:len(aliceKey())-1], "x" + aliceKey(),
		aliceKey() + "," + bobKey(), aliceKey() + " " + bobKey(), aliceKey() + ":" + bobKey(), aliceKey() + "%00", "alice", "bob", "alice:" + bobKey(),
		adminToken(), providerKey(), "sk-litellm", "sk-1234", "master", "root", "test", "anonymous", "-", "--", ".", "\u00e9", "\u2028",
	}
	return all
}

// TestS1InjectionsAreJustWrongKeys on every way to present one.
func TestS1InjectionsAreJustWrongKeys(t *testing.T) {
	v := startVillain(t)
	g := serve(t, settings(v.URL))
	n := 0
	for _, text := range injections() {
		for _, header := range []string{"Authorization", "X-Api-Key", "Api-Key", "X-Holdfast-Key", "X-Goog-Api-Key", "Query"} {
			door := doors[n%len(doors)]
			n++
			url, h := g.URL+door.path, http.Header{}
			switch header {
			case "Authorization":
				h.Set(header, "Bearer "+text)
			case "Query":
				url += "?key=" + strings.NewReplacer(" ", "%20", "#", "%23", "\"", "%22", "{", "%7B", "}", "%7D", "`", "%60", "\u2028", "x", "\u00e9", "y").Replace(text)
			default:
				h.Set(header, text)
			}
			a, err := g.ask(door.method, url, chat("chat", false), h)
			if err != nil && strings.Contains(err.Error(), "invalid") {
				continue // our own client refuses to send it
			}
			if err != nil || a.status != http.StatusUnauthorized && a.status != http.StatusBadRequest || strings.Contains(strings.ToLower(a.body), "sql") {
				t.Errorf("%s %s with %q in %s: %d %.200q, %v", door.method, door.path, text, header, a.status, a.body, err)
			}
		}
	}
	if seen := v.saw(); len(seen) > 0 {
		t.Errorf("%d calls reached the provider", len(seen))
	}
	g.works(t)
}

// TestS3NoOddCredentialIsSomebody: every failure to recognise a caller is a 401.
func TestS3NoOddCredentialIsSomebody(t *testing.T) {
	v := startVillain(t)
	g := serve(t, settings(v.URL))
	schemes := []string{"Basic", "Digest", "Negotiate", "Token", "ApiKey", "Key", "JWT", "OAuth", "AWS4-HMAC-SHA256", "bearer:", "Bearer,", "BearerX", "Bear er", "", "\t", "Bearer\u00a0"}
	for i, scheme := range schemes {
		for j, value := range []string{"", "x", aliceKey() + "=", "YWxpY2U6", "null", "eyJhbGciOiJub25lIn0.e30.", "a b c", "alice", "{}", ",", ";", "=", "Bearer"} {
			door := doors[(i*13+j)%len(doors)]
			a, err := g.ask(door.method, g.URL+door.path, chat("chat", false), http.Header{"Authorization": {scheme + " " + value}})
			if err == nil && a.status != http.StatusUnauthorized {
				t.Errorf("%s %s with %q: %d", door.method, door.path, scheme+" "+value, a.status)
			}
		}
	}
	for _, two := range []http.Header{
		{}, {"Authorization": {"Bearer a", "Bearer b"}}, {"Cookie": {"session=" + aliceKey()}}, {"X-Forwarded-User": {"alice"}}, {"X-Forwarded-For": {"127.0.0.1"}},
		{"X-Holdfast-Tenant": {"a"}}, {"X_holdfast_key": {aliceKey()}}, {"Proxy-Authorization": {"Bearer " + aliceKey()}}, {"X-Original-Url": {"/livez"}}, {"X-Real-Ip": {"127.0.0.1"}},
	} {
		for _, door := range doors {
			if a, err := g.ask(door.method, g.URL+door.path, chat("chat", false), two); err != nil || a.status != http.StatusUnauthorized {
				t.Errorf("%s %s with %v: %d, %v", door.method, door.path, slices.Sorted(keysOf(two)), a.status, err)
			}
		}
	}
	if seen := v.saw(); len(seen) > 0 {
		t.Errorf("%d calls reached the provider", len(seen))
	}
}

func keysOf(h http.Header) func(func(string) bool) {
	return func(yield func(string) bool) {
		for name := range h {
			if !yield(name) {
				return
			}
		}
	}
}

// TestS4AHostIsNeverARoute: odd ones are refused, others change nothing.
func TestS4AHostIsNeverARoute(t *testing.T) {
	v := startVillain(t)
	g := serve(t, settings(v.URL))
	body := chat("chat", false)
	for host, want := range map[string]string{
		"localhost:4000/#@attacker": "400", "a@b": "400", "a b": "400", "a/../b": "400", "a\\b": "400", "a%00b": "400", "[::1": "400", "a:b": "400", "a:0": "400", "a:99999": "400",
		"a,b": "400", "a?b": "400", "a#b": "400", "a;b": "400", "a'b": "400", "a(b)": "400",
		"169.254.169.254": "200", "attacker.test": "200", strings.TrimPrefix(v.URL, "http://"): "200",
	} {
		v.be(nil)
		got := g.raw(fmt.Sprintf("POST /v1/chat/completions HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", host, aliceKey(), len(body), body))
		if !strings.HasPrefix(got, "HTTP/1.1 "+want) {
			t.Errorf("Host: %s is answered %.60q, want %s", host, got, want)
		}
		for _, s := range v.saw() {
			if s.host != strings.TrimPrefix(v.URL, "http://") {
				t.Errorf("Host: %s reached the provider as %s", host, s.host)
			}
		}
	}
}

// TestS5WhatOthersCanReachIsNeverOpen without somebody saying so.
func TestS5WhatOthersCanReachIsNeverOpen(t *testing.T) {
	v := startVillain(t)
	open := settings(v.URL)
	begin, end := strings.Index(open, "keys:"), strings.Index(open, "providers:")
	withoutKeys := open[:begin] + open[end:]
	for name, configuration := range map[string]string{
		"no keys":        strings.Replace(withoutKeys, "listen: 127.0.0.1:0", "listen: 0.0.0.0:0", 1),
		"no admin token": strings.Replace(open, "admin: {listen: 127.0.0.1:0, token: "+adminToken()+"}", "admin: {listen: '0.0.0.0:0'}", 1),
	} {
		file := t.TempDir() + "/holdfast.yaml"
		write(t, file, configuration)
		out, err := gatewayCommand(file).CombinedOutput()
		if code := exitCode(err); code != 2 {
			t.Errorf("%s: it started, or ended with %d: %s", name, code, out)
		}
	}
}

// TestS6AKeyIsTheWholeOfIt: what shares a part of it opens nothing, and another's
// key opens what is that other's.
func TestS6AKeyIsTheWholeOfIt(t *testing.T) {
	v := startVillain(t)
	g := serve(t, settings(v.URL))
	for i := range len(aliceKey()) {
		changed := []byte(aliceKey())
		changed[i] ^= 1
		if a, err := g.ask("GET", g.URL+"/v1/models", "", http.Header{"X-Api-Key": {string(changed)}}); err == nil && a.status != http.StatusUnauthorized {
			t.Errorf("a key that differs at %d gets %d", i, a.status)
		}
	}
	bob := http.Header{"Authorization": {"Bearer " + bobKey()}}
	for model, want := range map[string]int{"chat": 404, "only-bobs": 200} {
		if a, err := g.ask("POST", g.URL+"/v1/chat/completions", chat(model, false), bob); err != nil || a.status != want {
			t.Errorf("bob asks for %s: %d, want %d", model, a.status, want)
		}
	}
}

// TestS13AKeyThatIsRemovedOpensNothingASecondLater.
func TestS13AKeyThatIsRemovedOpensNothingASecondLater(t *testing.T) {
	v := startVillain(t)
	configuration := settings(v.URL)
	g := serve(t, configuration)
	g.works(t)
	write(t, g.file, strings.Replace(configuration, "  alice: {sha256: "+digestOf(aliceKey())+", tenant: a}\n", "", 1))
	removed := time.Now()
	for {
		a, err := g.ask("GET", g.URL+"/v1/models", "", alice())
		if err == nil && a.status == http.StatusUnauthorized {
			break
		}
		if time.Since(removed) > 2*time.Second { // 1s is the promise; the machine may be busy
			t.Fatalf("the key still opens after %s: %d, %v", time.Since(removed), a.status, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// TestS19ConnectionTakesNothingOfOursAway.
func TestS19ConnectionTakesNothingOfOursAway(t *testing.T) {
	v := startVillain(t)
	g := serve(t, settings(v.URL))
	for _, names := range []string{"authorization", "Authorization, x-api-key", "close, AUTHORIZATION", "content-type, content-length, host, transfer-encoding", "x-holdfast-request-id"} {
		v.be(nil)
		h := alice()
		h["Connection"] = []string{names}
		a, err := g.ask("POST", g.URL+"/v1/chat/completions", chat("chat", false), h)
		seen := v.saw()
		if err != nil || a.status != 200 || len(seen) != 1 || seen[0].header.Get("Authorization") != "Bearer "+providerKey() || seen[0].header.Get("Content-Type") == "" || a.header.Get("X-Holdfast-Request-Id") == "" {
			t.Errorf("Connection: %s gives %d, %v; the provider saw %d calls", names, a.status, err, len(seen))
		}
	}
}

// TestS20NoSpellingOfAnIdentityIsBelievedOrSentOn.
func TestS20NoSpellingOfAnIdentityIsBelievedOrSentOn(t *testing.T) {
	v := startVillain(t)
	g := serve(t, settings(v.URL))
	h := alice()
	for _, name := range []string{"X-Holdfast-Tenant", "x-holdfast-client", "X_HOLDFAST_TENANT", "x_holdfast_key", "X-Holdfast_Tenant", "x-Holdfast-Route", "X_holdfast-Priority", "X-HOLDFAST-FAULT", "x-holdfast-request-id"} {
		h[name] = []string{"forged"}
	}
	a, err := g.ask("POST", g.URL+"/v1/chat/completions", chat("chat", false), h)
	if err != nil || a.status != 200 || a.header.Get("X-Holdfast-Request-Id") == "forged" || a.header.Get("X-Holdfast-Route") != "chat" {
		t.Errorf("%d %v %v", a.status, a.header, err)
	}
	for _, s := range v.saw() {
		for name := range s.header {
			if strings.Contains(strings.ToLower(name), "holdfast") {
				t.Errorf("the provider was sent %s", name)
			}
		}
	}
	if _, text, _ := g.operator("GET", "/api/v1/requests", ""); strings.Contains(text, "forged") {
		t.Error("a forged identity is in the story of the call")
	}
}

// TestS21MoreParametersThanAParserSeesAreRefused.
func TestS21MoreParametersThanAParserSeesAreRefused(t *testing.T) {
	v := startVillain(t)
	g := serve(t, settings(v.URL))
	for n, want := range map[int]int{1: 200, 100: 200, 101: 400, 1000: 400, 5000: 400} {
		for _, by := range []string{"&", ";"} {
			query := strings.TrimSuffix(strings.Repeat("a=1"+by, n), by)
			if a, err := g.ask("GET", g.URL+"/v1/models?"+query, "", alice()); err != nil || a.status != want {
				t.Errorf("%d parameters by %q: %d, want %d", n, by, a.status, want)
			}
		}
	}
}

// adminPaths are spellings of what is the operators', for the callers' listener
// and, without a token, for their own.
func adminPaths() []string {
	var all []string
	for _, path := range []string{"/metrics", "/api/v1/status", "/api/v1/config", "/api/v1/requests", "/api/v1/breakers", "/api/v1/drain", "/debug/pprof/", "/debug/pprof/heap", "/debug/vars", "/api/v1/openapi.json"} {
		first, rest := path[1:2], path[2:]
		all = append(all, path, path+"/", "/"+path, "/."+path, "/.."+path, "/x/.."+path, "/%2e%2e"+path, "/v1/../.."+path, "/v1/%2e%2e/%2e%2e"+path, "/"+strings.ToUpper(first)+rest,
			fmt.Sprintf("/%%%02x%s", first[0], rest), "/%2f"+path, path+"%00", path+"%20", path+";a=b", path+"?x=/livez", "/livez/.."+path, "/readyz/%2e%2e"+path, "/v1/models/.."+path, "/v1/models"+path)
	}
	return all
}

// TestS22NoSpellingOfAnOperatorsPathIsACallers: 200 spellings.
func TestS22NoSpellingOfAnOperatorsPathIsACallers(t *testing.T) {
	v := startVillain(t)
	g := serve(t, settings(v.URL))
	paths := adminPaths()
	if len(paths) < 200 {
		t.Fatalf("only %d spellings", len(paths))
	}
	for _, path := range paths {
		if got := g.raw("GET " + strings.ReplaceAll(path, " ", "%20") + " HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n"); strings.HasPrefix(got, "HTTP/1.1 200") {
			t.Errorf("a caller without a key gets %s", path)
		}
		if strings.Contains(path, "etrics") {
			continue // open to Prometheus on the operators' listener
		}
		a, err := g.ask("GET", g.admin+path, "", nil)
		if err == nil && a.status == 200 && !strings.HasPrefix(path, "/livez") && !strings.HasPrefix(path, "/readyz") {
			t.Errorf("somebody without the token gets %s of the operators: %.100q", path, a.body)
		}
	}
	if seen := v.saw(); len(seen) > 0 {
		t.Errorf("%d calls reached the provider", len(seen))
	}
}

// TestS30AWrongKeyTakesAsLongAsAnother whatever it shares with a true one, and
// wherever it is tried.
func TestS30AWrongKeyTakesAsLongAsAnother(t *testing.T) {
	long(t)
	v := startVillain(t)
	g := serve(t, strings.Replace(settings(v.URL), "level: debug", "level: info", 1))
	for _, door := range []struct{ url, header, before, secret string }{
		{g.URL + "/v1/models", "X-Api-Key", "", aliceKey()},
		{g.admin + "/api/v1/version", "Authorization", "Bearer ", adminToken()},
	} {
		ask := func(key string) func() {
			return func() {
				if _, err := g.ask("GET", door.url, "", http.Header{door.header: {door.before + key}}); err != nil {
					t.Fatal(err)
				}
			}
		}
		near, far := ask(door.secret[:len(door.secret)-1]+"!"), ask(strings.Repeat("x", len(door.secret)))
		if d, sigma := compared(2000, ask(door.secret), far); d.Abs() < 3*sigma {
			t.Errorf("%s: a true key takes %s longer, give or take %s: this proves nothing", door.url, d, sigma)
		}
		const rounds = 10_000
		d, sigma := compared(rounds, near, far)
		for tries := 1; d.Abs() > 3*sigma && tries < 3; tries++ { // chance does not come back
			d, sigma = compared(rounds, near, far)
		}
		t.Logf("%s: a key that is nearly true takes %s longer, give or take %s", door.url, d, sigma)
		if d.Abs() > 3*sigma {
			t.Errorf("%s: three times in %d pairs a key that is nearly true took %s longer, more than 3 sigma (%s)", door.url, rounds, d, sigma)
		}
	}
}

// compared is how much longer a takes than b, in the median of so many pairs, and
// the standard error of that median. Who is first changes from pair to pair.
func compared(rounds int, a, b func()) (longer, sigma time.Duration) {
	timed := func(do func()) float64 {
		began := time.Now()
		do()
		return float64(time.Since(began))
	}
	differences := make([]float64, rounds)
	for i := range differences {
		if i%2 == 0 {
			differences[i] = timed(a)
			differences[i] -= timed(b)
		} else {
			differences[i] = -timed(b)
			differences[i] += timed(a)
		}
	}
	// The median of n values of a normal distribution errs by sqrt(pi/2/n) of its
	// sigma, and of one with longer tails by less.
	d := median(differences)
	return time.Duration(d), time.Duration(spread(differences) * math.Sqrt(math.Pi/2/float64(rounds)))
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

// spread is sigma as the middle half of sorted values tells it: single pauses of
// the machine are no part of it.
func spread(sorted []float64) float64 {
	return (sorted[len(sorted)*3/4] - sorted[len(sorted)/4]) / 1.349
}

// TestS40EveryWayToAProviderIsGuarded walks the doors: each that leads to the
// provider asks for a key, keeps the limit of the target, ends at the caller's
// deadline and is closed by a circuit that an operator opened.
func TestS40EveryWayToAProviderIsGuarded(t *testing.T) {
	v := startVillain(t)
	g := serve(t, strings.Replace(settings(v.URL), "providers:", "concurrency: 1\nqueue: {max: 1, wait: 100ms}\nproviders:", 1))
	var open []int
	for i, door := range doors {
		v.be(nil)
		if _, err := g.ask(door.method, g.URL+door.path, chat("chat", false), nil); err != nil || len(v.saw()) > 0 {
			t.Errorf("%s %s reaches the provider without a key, %v", door.method, door.path, err)
		}
		_, _ = g.ask(door.method, g.URL+door.path, chat("chat", false), alice())
		if len(v.saw()) > 0 {
			open = append(open, i)
		}
	}
	if len(open) < 5 {
		t.Fatalf("only %d doors lead to the provider: this test proves nothing", len(open))
	}
	for _, i := range open {
		door := doors[i]
		var inside, most atomic.Int64
		v.be(func(_ http.ResponseWriter, r *http.Request) {
			if n := inside.Add(1); n > most.Load() {
				most.Store(n)
			}
			defer inside.Add(-1)
			<-r.Context().Done()
		})
		h := alice()
		h.Set("X-Holdfast-Timeout-Ms", "150")
		began := time.Now()
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				if a, err := g.ask(door.method, g.URL+door.path, chat("chat", false), h); err != nil || a.status < 500 {
					t.Errorf("%s %s has no deadline: %d, %v", door.method, door.path, a.status, err)
				}
			})
		}
		all.Wait()
		if took := time.Since(began); took > 3*time.Second || most.Load() > 1 {
			t.Errorf("%s %s: %s with %d at once, want 150ms and one", door.method, door.path, took, most.Load())
		}
	}
	for _, target := range []string{"openai%2Fgpt-4o", "openai%2Fgpt-4o-mini"} {
		if status, text, err := g.operator("POST", "/api/v1/breakers/"+target+"/open", `{"reason":"attack"}`); err != nil || status != 200 {
			t.Fatalf("opening the circuit: %d %s %v", status, text, err)
		}
	}
	v.be(nil)
	for _, i := range open {
		if a, err := g.ask(doors[i].method, g.URL+doors[i].path, chat("chat", false), alice()); err != nil || a.status < 500 || len(v.saw()) > 0 {
			t.Errorf("%s %s passes an open circuit: %d, %v", doors[i].method, doors[i].path, a.status, err)
		}
	}
}

func gatewayCommand(file string) *exec.Cmd { return gatewayProcess("serve", "-c", file) }
