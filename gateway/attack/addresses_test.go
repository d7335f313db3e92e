package attack

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast/internal/wanted"
)

// badHosts are ways to write an address that nobody means for a provider: of
// this machine, of the link, of the metadata services of clouds.
var badHosts = []string{
	// This machine.
	"2130706433", "0x7f000001", "0x7F000001", "017700000001", "0177.0.0.1", "0x7f.0.0.1", "0x7f.1", "127.1", "127.0.1", "127.0.0.1.", "127.0.0.01", "00177.1",
	"localhost.", "LOCALHOST.", "llm.localhost.", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]", "[::127.0.0.1]", "[64:ff9b::127.0.0.1]", "[2002:7f00:1::]",
	"0", "0.0.0.0", "0x0", "000.000.000.000", "[::]", "[0::0]", "[::ffff:0.0.0.0]", "0.1.2.3", "",
	"１２７.０.０.１", "127。0。0。1", "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ", "%31%32%37.0.0.1",
	// Metadata services.
	"169.254.169.254", "169.254.169.254.", "2852039166", "0xa9fea9fe", "0xA9.0xFE.0xA9.0xFE", "0251.0376.0251.0376", "025177524776", "169.254.43518", "169.16689662", "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]",
	"[64:ff9b::a9fe:a9fe]", "[2002:a9fe:a9fe::1]", "[fd00:ec2::254]", "[fd20:ce::254]", "[fe80::a9fe:a9fe]", "169.254.170.2", "169.254.170.23", "100.100.100.200", "1684301000", "168.63.129.16", "192.0.0.192",
	// The link, everybody on it, and nobody.
	"169.254.1.2", "[fe80::1]", "[fe80::1%25eth0]", "224.0.0.1", "[ff02::1]", "255.255.255.255", "4294967295", "256.256.256.256", "1.2.3.4.5",
	// Another host than the eye reads.
	"api.openai.com@127.0.0.1", "127.0.0.1%2f@api.openai.com", "api.openai.com#@127.0.0.1", "api.openai.com?@127.0.0.1", "api.openai.com\\@127.0.0.1",
}

// trap is a provider that nobody should find.
func trap(t *testing.T) (port string, caught *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", ":0") // on every address of this machine
	if err != nil {
		t.Fatal(err)
	}
	caught = &atomic.Int64{}
	s := httptest.NewUnstartedServer(http.HandlerFunc(good))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			caught.Add(1)
		}
	}
	_ = s.Listener.Close()
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port, caught
}

// TestS8NoSpellingOfABadAddressIsTakenFromTheFile: each is a mistake at its
// line, and nothing is asked.
func TestS8NoSpellingOfABadAddressIsTakenFromTheFile(t *testing.T) {
	port, caught := trap(t)
	var b strings.Builder
	b.WriteString("version: 1\nproviders:\n")
	for i, host := range badHosts { // the first stands in line 3
		fmt.Fprintf(&b, "  p%d: {kind: compatible, base_url: %s}\n", i, quoted("http://"+host+":"+port+"/v1"))
	}
	for i, host := range badHosts[:12] {
		fmt.Fprintf(&b, "  q%d: {kind: http, base_url: %s}\n", i, quoted("https://"+host+"/"))
	}
	b.WriteString("routes:\n  chat: {targets: [p0/m]}\n")
	file := t.TempDir() + "/holdfast.yaml"
	write(t, file, b.String())
	out, err := gatewayProcess("validate", "--format", "json", file).Output()
	if code := exitCode(err); code != 2 {
		t.Errorf("validate ended with %d: %s", code, out)
	}
	var told struct {
		Errors []struct {
			Line, Column    int
			Message, Source string
		}
	}
	if err := json.Unmarshal(out, &told); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	wrong := map[int]bool{}
	for _, e := range told.Errors {
		wrong[e.Line] = true
		if value := strings.Index(e.Source, `"http`); e.Column != len([]rune(e.Source[:max(value, 0)]))+1 {
			t.Errorf("line %d: column %d does not point at the address in %s", e.Line, e.Column, e.Source)
		}
	}
	for i, host := range append(badHosts, badHosts[:12]...) {
		if !wrong[3+i] {
			t.Errorf("%q is taken", host)
		}
	}
	for _, command := range []string{"serve", "doctor"} {
		if out, err := gatewayProcess(command, "-c", file).CombinedOutput(); exitCode(err) != 2 {
			t.Errorf("%s ended with %v: %s", command, err, out)
		}
	}
	if caught.Load() > 0 {
		t.Errorf("%d connections to addresses that are refused", caught.Load())
	}
	if len(badHosts) < 40 {
		t.Errorf("only %d spellings", len(badHosts))
	}
}

// quoted is a text as YAML and JSON have it, on a line of its own.
func quoted(text string) string {
	b, _ := json.Marshal(text) // a text always can be
	return string(b)
}

// ownName is a name of this machine that leads to loopback and does not say so,
// and where it leads. Names for IPv4 come first: not every machine has the other.
func ownName(t *testing.T) (name string, address netip.Addr) {
	t.Helper()
	hosts, err := os.ReadFile("/etc/hosts")
	if err != nil {
		wanted.Missing(t, wanted.Names, "no names to take: %v", err)
	}
	for line := range strings.Lines(string(hosts)) {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		at, err := netip.ParseAddr(words[0])
		if err != nil || !at.IsLoopback() || name != "" && (address.Is4() || at.Is6()) {
			continue
		}
		if i := slices.IndexFunc(words, func(word string) bool { return leadsOnlyTo(word, at) }); i > 0 {
			name, address = words[i], at
		}
	}
	if name == "" {
		wanted.Missing(t, wanted.Names, "no name in /etc/hosts besides localhost leads to loopback")
	}
	return name, address
}

// leadsOnlyTo reports whether a name leads to one address and does not say so.
func leadsOnlyTo(name string, address netip.Addr) bool {
	lower := strings.ToLower(name)
	if _, err := netip.ParseAddr(name); err == nil || lower == "localhost" || strings.HasSuffix(lower, ".localhost") {
		return false
	}
	leads, err := net.LookupHost(name)
	return err == nil && len(leads) == 1 && leads[0] == address.String()
}

// TestS8ANameThatLeadsHereIsNotCalledUnlessTheFileAllowsIt, neither as a
// provider nor as a tool or a collector of spans. That a name may lead to
// another address the next time is tested where names can be made up, in
// gateway/internal/reach.
func TestS8ANameThatLeadsHereIsNotCalledUnlessTheFileAllowsIt(t *testing.T) {
	name, address := ownName(t)
	port, caught := trap(t)
	configuration := strings.Replace(settings("http://"+name+":"+port), "routes:\n",
		"telemetry: {otlp: \"http://"+name+":"+port+"\"}\nroutes:\n  weather: {match: {path: [/tools/weather]}, targets: [weather/x]}\n", 1)
	configuration = strings.Replace(configuration, "providers:\n", "providers:\n  weather: {kind: http, base_url: \"http://"+strings.ToUpper(name)+":"+port+"\"}\n", 1)
	g := serve(t, configuration)
	for _, path := range []string{"/v1/chat/completions", "/v1/files/file-0123456789", "/tools/weather/berlin"} {
		a, err := g.ask("POST", g.URL+path, chat("chat", false), alice())
		if err != nil || a.status < 500 {
			t.Errorf("%s: %d %.200s, %v", path, a.status, a.body, err)
		}
		if strings.Contains(a.body, address.String()) || strings.Contains(a.body, name) {
			t.Errorf("%s tells the caller about our network: %s", path, a.body)
		}
		_, story, err := g.operator("GET", "/api/v1/requests/"+a.header.Get("X-Holdfast-Request-Id"), "")
		if err != nil || !strings.Contains(story, `"fault": "forbidden_address"`) || !strings.Contains(story, `"class": "transport"`) || !strings.Contains(story, `"sent": false`) {
			t.Errorf("%s is explained as %s, %v", path, story, err)
		}
	}
	out, err := gatewayProcess("doctor", "-c", g.file).CombinedOutput()
	if exitCode(err) != 1 || !strings.Contains(string(out), name+" is "+address.String()) || !strings.Contains(string(out), "allow_addresses") {
		t.Errorf("doctor ended with %v and told %s", err, out)
	}
	if log := g.out.String(); !strings.Contains(log, "an address is not called") || !strings.Contains(log, "allow_addresses") {
		t.Errorf("the log does not name the address and the key")
	}
	for began := time.Now(); !strings.Contains(g.out.String(), "spans were not taken"); time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > 15*time.Second {
			t.Fatal("the spans of the calls were neither sent nor given up")
		}
	}
	if caught.Load() > 0 {
		t.Errorf("%d connections to a name that leads here", caught.Load())
	}
	allowed := fmt.Sprintf(", allow_addresses: [\"%s/%d\"], api_key: %s}", address, address.BitLen(), providerKey())
	write(t, g.file, strings.Replace(configuration, ", api_key: "+providerKey()+"}", allowed, 1))
	if status, text, err := g.operator("POST", "/api/v1/config/reload", ""); err != nil || status != 200 {
		t.Fatalf("%d %s, %v", status, text, err)
	}
	probe, err := net.Dial("tcp", net.JoinHostPort(name, port))
	if err == nil {
		_ = probe.Close()
		g.works(t)
		return
	}
	// Some machines have names for IPv6 and no IPv6: the call is tried and fails.
	a, err := g.ask("POST", g.URL+"/v1/chat/completions", chat("chat", false), alice())
	if _, story, broken := g.operator("GET", "/api/v1/requests/"+a.header.Get("X-Holdfast-Request-Id"), ""); err != nil || broken != nil || !strings.Contains(story, `"class": "transport"`) || strings.Contains(story, "forbidden_address") {
		t.Errorf("an allowed address is explained as %s, %v, %v", story, err, broken)
	}
}

// TestS8NoAnswerOrBodyMakesUsCallAnAddress: redirects are not followed and
// images are not fetched, whatever they point at.
func TestS8NoAnswerOrBodyMakesUsCallAnAddress(t *testing.T) {
	port, caught := trap(t)
	v := startVillain(t)
	g := serve(t, settings(v.URL))
	for i, host := range append([]string{"127.0.0.1", "localhost", "[::1]"}, badHosts...) {
		to := "http://" + host + ":" + port + "/latest/meta-data/"
		status := []int{301, 302, 303, 307, 308}[i%5]
		v.be(func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Location"] = []string{url.PathEscape(to), to}[i%2 : i%2+1]
			w.WriteHeader(status)
		})
		if a, err := g.ask("POST", g.URL+"/v1/chat/completions", chat("chat", false), alice()); err != nil || a.status == 200 || len(v.saw()) != 1 {
			t.Errorf("%d to %q: %d after %d requests, %v", status, to, a.status, len(v.saw()), err)
		}
		v.be(nil)
		body := fmt.Sprintf(`{"model":"chat","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":%s}},{"type":"input_file","file_url":%[1]s}]}]}`, quoted(to))
		a, err := g.ask("POST", g.URL+"/v1/chat/completions", body, alice())
		if err != nil || a.status != 200 || len(v.saw()) != 1 || !strings.Contains(string(v.saw()[0].body), quoted(to)) {
			t.Errorf("an image at %q: %d, %v", to, a.status, err)
		}
	}
	v.be(nil)
	g.works(t)
	if caught.Load() > 0 {
		t.Errorf("%d connections to where an answer or a body pointed", caught.Load())
	}
	if resp, err := http.Get("http://127.0.0.1:" + port); err != nil || caught.Load() != 1 {
		t.Errorf("the trap catches nothing: this proves nothing, %v", err)
	} else {
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
}
