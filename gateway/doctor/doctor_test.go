package doctor_test

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/gateway/doctor"
	"github.com/holdfast-gateway/holdfast/sim"
)

// examined returns the verdicts by check of one target.
func examined(t *testing.T, target holdfast.Target, o doctor.Options) map[string]doctor.Check {
	t.Helper()
	if target.Name == "" {
		target.Name = "t"
	}
	if target.Vendor == "" {
		target.Vendor = "openai"
	}
	c := holdfast.Config{Routes: []holdfast.Route{{Name: "r", Targets: []holdfast.Target{target, target}}}}
	found := map[string]doctor.Check{}
	for _, check := range doctor.Examine(t.Context(), c, o) {
		if _, twice := found[check.Name]; twice {
			t.Errorf("%s was checked twice", check.Name)
		}
		found[check.Name] = check
	}
	return found
}

func simulated(t *testing.T, d sim.Dials) string {
	t.Helper()
	s := httptest.NewServer(sim.New(sim.Config{Dials: d}))
	t.Cleanup(s.Close)
	return s.URL
}

func want(t *testing.T, found map[string]doctor.Check, name string, v doctor.Verdict, detail string) {
	t.Helper()
	if c := found[name]; c.Verdict != v || !strings.Contains(c.Detail, detail) {
		t.Errorf("%s: %s (%s), want %s with %q; all: %v", name, c.Verdict, c.Detail, v, detail, found)
	}
}

func TestATargetThatWorksIsGood(t *testing.T) {
	found := examined(t, holdfast.Target{BaseURL: simulated(t, sim.Dials{}), Model: "gpt-4o"}, doctor.Options{})
	for _, name := range []string{"connect", "call", "clock"} {
		want(t, found, name, doctor.Good, "")
	}
}

func TestEachFaultIsNamed(t *testing.T) {
	for _, c := range []struct {
		name    string
		dials   sim.Dials
		options doctor.Options
		verdict doctor.Verdict
		detail  string
	}{
		{"a limit", sim.Dials{Fault: "429-forever"}, doctor.Options{}, doctor.Warning, "rate limited now (status 429"},
		{"an overload", sim.Dials{Fault: "503"}, doctor.Options{}, doctor.Failed, "overloaded (status 503"},
		{"a broken server", sim.Dials{Fault: "500"}, doctor.Options{}, doctor.Failed, "(status 500"},
		{"no answer", sim.Dials{HeaderDelay: time.Minute}, doctor.Options{Timeout: 100 * time.Millisecond}, doctor.Unreachable, "no answer in 100ms"},
		{"a slow answer", sim.Dials{}, doctor.Options{Slow: time.Nanosecond}, doctor.Warning, "answered, but slowly"},
	} {
		t.Run(c.name, func(t *testing.T) {
			found := examined(t, holdfast.Target{BaseURL: simulated(t, c.dials), Model: "gpt-4o"}, c.options)
			want(t, found, "call", c.verdict, c.detail)
		})
	}
}

func TestEachKeyIsTriedAndNoneIsShown(t *testing.T) {
	url := simulated(t, sim.Dials{RequiredKey: "sk-right-0123"})
	for _, vendor := range []string{"openai", "anthropic"} {
		found := examined(t, holdfast.Target{Vendor: vendor, BaseURL: url, Model: "m", Keys: []holdfast.Key{
			{Name: "good", Secret: "sk-right-0123"}, {Secret: "sk-wrong-0123"},
		}}, doctor.Options{})
		want(t, found, "call with good", doctor.Good, "")
		want(t, found, "call with key2", doctor.Failed, "the key is refused (status 401")
		for _, c := range found {
			if strings.Contains(c.Detail, "sk-") {
				t.Errorf("a key is shown: %s", c.Detail)
			}
		}
	}
}

func TestACallersOwnCredentialCannotBeTried(t *testing.T) {
	found := examined(t, holdfast.Target{BaseURL: simulated(t, sim.Dials{}), Model: "m", PassCredential: true}, doctor.Options{})
	want(t, found, "call", doctor.Skipped, "callers bring their own")
}

func TestAHostThatIsNotThereIsUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	want(t, examined(t, holdfast.Target{BaseURL: "http://" + l.Addr().String()}, doctor.Options{}), "connect", doctor.Unreachable, "nobody answers")
	want(t, examined(t, holdfast.Target{BaseURL: "http://host.invalid"}, doctor.Options{Timeout: 2 * time.Second}), "dns", doctor.Unreachable, "host.invalid has no address")
}

func TestACertificateIsJudged(t *testing.T) {
	s := httptest.NewTLSServer(sim.New(sim.Config{}))
	defer s.Close()
	s.Config.ErrorLog = nil
	trusted := x509.NewCertPool()
	trusted.AddCert(s.Certificate())
	target := holdfast.Target{BaseURL: s.URL, Model: "gpt-4o"}
	found := examined(t, target, doctor.Options{TLS: &tls.Config{RootCAs: trusted}})
	want(t, found, "tls", doctor.Good, "the certificate is good until")
	want(t, found, "call", doctor.Good, "")
	end := s.Certificate().NotAfter
	found = examined(t, target, doctor.Options{TLS: &tls.Config{RootCAs: trusted}, Now: func() time.Time { return end.Add(-48 * time.Hour) }})
	want(t, found, "tls", doctor.Warning, "(2 days)")
	want(t, found, "clock", doctor.Warning, "away from the provider's")
	found = examined(t, target, doctor.Options{})
	want(t, found, "tls", doctor.Unreachable, "certificate")
}

func TestAToolIsOnlyConnectedTo(t *testing.T) {
	calls := 0
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls++ }))
	defer s.Close()
	found := examined(t, holdfast.Target{Vendor: "http", BaseURL: s.URL}, doctor.Options{})
	want(t, found, "call", doctor.Skipped, "a tool")
	if calls > 0 {
		t.Errorf("the tool was called %d times", calls)
	}
}

func TestTheDoctorGoesTheWayThatTheGatewayGoes(t *testing.T) {
	protocols := make(chan string, 8)
	simulated := sim.New(sim.Config{})
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		protocols <- r.Proto
		simulated.ServeHTTP(w, r)
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	trusted := x509.NewCertPool()
	trusted.AddCert(s.Certificate())
	for way, want := range map[string]string{"": "HTTP/1.1", "lean": "HTTP/1.1", "net": "HTTP/2.0"} {
		c := holdfast.Config{HTTP: way, Routes: []holdfast.Route{{Name: "r", Targets: []holdfast.Target{{Name: "t", Vendor: "openai", BaseURL: s.URL, Model: "gpt-4o"}}}}}
		for _, check := range doctor.Examine(t.Context(), c, doctor.Options{TLS: &tls.Config{RootCAs: trusted}}) {
			if check.Verdict != doctor.Good && check.Name == "call" {
				t.Errorf("%q: %+v", way, check)
			}
		}
		if got := <-protocols; got != want {
			t.Errorf("upstream.http %q: the provider was asked by %s, want %s", way, got, want)
		}
	}
}
