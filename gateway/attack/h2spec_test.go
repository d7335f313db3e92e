package attack

import (
	"encoding/xml"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-gateway/holdfast/internal/wanted"
)

// TestHTTP2IsSpokenAsWellAsByNetHTTP runs h2spec, the conformance suite of the
// protocol, against the gateway and against a plain server of this Go version.
// What the one fails and the other does not is ours.
func TestHTTP2IsSpokenAsWellAsByNetHTTP(t *testing.T) {
	long(t)
	tool := filepath.Join(t.TempDir(), "h2spec")
	build := exec.Command("go", "build", "-o", tool, "github.com/summerwind/h2spec/cmd/h2spec")
	build.Dir = filepath.Join("testdata", "h2spec")
	build.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-buildvcs=false")
	if out, err := build.CombinedOutput(); err != nil {
		if strings.Contains(string(out), "dial tcp") || strings.Contains(string(out), "lookup") {
			wanted.Missing(t, wanted.H2spec, "h2spec cannot be downloaded: %s", out)
		}
		t.Fatalf("h2spec does not build: %v %s", err, out)
	}
	v := startVillain(t)
	g := serve(t, strings.Replace(settings(v.URL), "level: debug", "level: info", 1))
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	plain := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) }))
	plain.Config.Protocols = protocols
	plain.Config.ErrorLog = log.New(io.Discard, "", 0)
	plain.Start()
	defer plain.Close()

	usual := h2spec(t, tool, strings.TrimPrefix(plain.URL, "http://"))
	ours := h2spec(t, tool, g.address)
	t.Logf("net/http passes %d of %d cases, the gateway %d of %d", passed(usual), len(usual), passed(ours), len(ours))
	if len(ours) < 100 || len(ours) != len(usual) {
		t.Errorf("h2spec ran %d cases, against net/http %d", len(ours), len(usual))
	}
	for range 2 { // a busy machine may be too late for a case once
		if len(worse(ours, usual)) == 0 {
			break
		}
		for name, ok := range h2spec(t, tool, g.address) {
			ours[name] = ours[name] || ok
		}
	}
	for _, name := range worse(ours, usual) {
		t.Errorf("net/http passes and the gateway fails three times: %s", name)
	}
	g.works(t)
}

// worse are the cases that the gateway fails and net/http passes.
func worse(ours, usual map[string]bool) (names []string) {
	for name, ok := range ours {
		if !ok && usual[name] {
			names = append(names, name)
		}
	}
	return names
}

func passed(cases map[string]bool) (n int) {
	for _, ok := range cases {
		if ok {
			n++
		}
	}
	return n
}

// h2spec returns which cases passed.
func h2spec(t *testing.T, tool, address string) map[string]bool {
	t.Helper()
	report := filepath.Join(t.TempDir(), "report.xml")
	host, port, _ := net.SplitHostPort(address)
	_ = exec.Command(tool, "-h", host, "-p", port, "-P", "/livez", "-o", "2", "-j", report).Run() // fails when a case does
	text, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	var suites struct {
		Suites []struct {
			Name  string `xml:"package,attr"`
			Cases []struct {
				Package string    `xml:"package,attr"`
				Name    string    `xml:"classname,attr"`
				Failure *struct{} `xml:"failure"`
				Error   *struct{} `xml:"error"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(text, &suites); err != nil {
		t.Fatal(err)
	}
	cases := map[string]bool{}
	for _, s := range suites.Suites {
		for _, c := range s.Cases {
			cases[c.Package+" "+c.Name] = c.Failure == nil && c.Error == nil
		}
	}
	return cases
}
