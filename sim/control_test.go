package sim_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast/fault"
	"github.com/holdfast-gateway/holdfast/sim"
)

func TestDialsAreTurnedOneByOneWhileRunning(t *testing.T) {
	p, s := start(t, sim.Dials{RequiredKey: "secret", OutputTokens: 7})
	d := dialects[0]
	got := post(t, s.URL+"/sim/dials", `{"fault":"503","token_interval":"1ms"}`)
	if got.status != 200 || strings.Contains(got.body, "secret") || !strings.Contains(got.body, `"key_required":true`) {
		t.Errorf("answered %+v, want the dials without the key", got)
	}
	if now := p.Dials(); now.Fault != "503" || now.TokenInterval != time.Millisecond || now.OutputTokens != 7 || now.RequiredKey != "secret" {
		t.Errorf("dials %+v, want two changed and two kept", now)
	}
	if got := post(t, s.URL+d.path, d.ask("m", "hi", true), "Authorization", "Bearer secret"); got.status != 503 {
		t.Errorf("a call: %d, want 503", got.status)
	}
	shown := do(t, s.Client(), "GET", s.URL+"/sim/dials", "")
	if back := post(t, s.URL+"/sim/dials", shown.body); back.status != 200 || p.Dials().RequiredKey != "secret" {
		t.Errorf("what GET shows cannot be posted: %+v", back)
	}
	post(t, s.URL+"/sim/dials", `{"fault":"","required_key":""}`)
	if got := post(t, s.URL+d.path, d.ask("m", "hi", true)); got.status != 200 {
		t.Errorf("a call after mending: %d, want 200", got.status)
	}
}

func TestWrongDialsAreRefusedAndChangeNothing(t *testing.T) {
	p, s := start(t, sim.Dials{})
	before := fmt.Sprint(p.Dials())
	for body, want := range map[string]string{
		`{"fualt":"503"}`:                       `unknown field`,
		`{"fault":"5o3"}`:                       `no such fault`,
		`{"fault":"stall-afer-20"}`:             `did you mean`,
		`{"fault_probability":1.5}`:             `not within 0-1`,
		`{"token_interval":"fast"}`:             `not a duration`,
		`{"token_interval":"-1s"}`:              `negative`,
		`{"latency":"warp"}`:                    `no profile`,
		`{"scale":-1}`:                          `scale`,
		`{"output_tokens":-1}`:                  `output_tokens`,
		`{"fault":"503"} {}`:                    `more than one`,
		`{"parallel":-1,"output_tokens":-2}`:    `output_tokens: -2 is not within 1-1000000\nsim: parallel`,
		``:                                      `EOF`,
		`{"fault":"503","first_token_delay":3}`: `first_token_delay`,
	} {
		got := post(t, s.URL+"/sim/dials", body)
		if got.status != 400 || !strings.Contains(got.body, want) {
			t.Errorf("%s: %d %s, want 400 with %q", body, got.status, got.body, want)
		}
	}
	if now := fmt.Sprint(p.Dials()); now != before {
		t.Errorf("dials are %s, were %s", now, before)
	}
}

func TestARequiredKeyIsCheckedInEveryForm(t *testing.T) {
	p, s := start(t, sim.Dials{RequiredKey: "right"})
	for _, c := range []struct {
		header, value string
		want          int
	}{
		{"Authorization", "Bearer right", 200}, {"X-Api-Key", "right", 200}, {"Api-Key", "right", 200},
		{"Authorization", "Bearer wrong", 401}, {"X-Api-Key", "", 401}, {"X-Api-Key", "righ", 401}, {"Authorization", "", 401},
	} {
		for _, d := range dialects {
			got := post(t, s.URL+d.path, d.ask("m", "hi", false), c.header, c.value)
			if got.status != c.want || c.want == 401 && !strings.Contains(got.body, `"error"`) {
				t.Errorf("%s %s: %q: %d %s, want %d", d.name, c.header, c.value, got.status, got.body, c.want)
			}
			if strings.Contains(got.body, "wrong") {
				t.Errorf("the key stands in the answer: %s", got.body)
			}
		}
	}
	log := fmt.Appendf(nil, "%+v %+v", p.Log(), p.Dials())
	for _, key := range []string{"right", "wrong"} {
		if strings.Contains(string(log), key) {
			t.Errorf("the log or the dials show the key %q", key)
		}
	}
	if a := p.Log()[0]; len(a.KeyDigest) != 8 {
		t.Errorf("key digest %q, want 8 digits", a.KeyDigest)
	}
}

func TestTheLogTellsWhatWasSeen(t *testing.T) {
	p, s := start(t, sim.Dials{})
	d := dialects[2]
	post(t, s.URL+d.path, d.ask("m", "hi", true, `"metadata":{"user_id":"u1"}`), "X-Stainless-Retry-Count", "2", "X-Api-Key", "k")
	sent := post(t, s.URL+dialects[0].path, dialects[0].ask("sim/503", "hi", false, `"user":"u2"`), "X-Sim-Tag", "tag")
	last(t, p)

	var log []sim.Attempt
	if err := json.Unmarshal([]byte(do(t, s.Client(), "GET", s.URL+"/sim/log", "").body), &log); err != nil || len(log) != 2 {
		t.Fatalf("log of %d, %v; want 2", len(log), err)
	}
	a, b := log[0], log[1]
	if a.Seq != 1 || a.Path != d.path || a.Model != "m" || !a.Stream || a.Tag != "u1" || a.RetryCount != "2" || a.KeyDigest == "" ||
		a.Status != 200 || !a.Completed || a.Tokens != 20 || a.InputTokens != 1 || a.Bytes == 0 || a.FirstByte.Before(a.Received) || a.Ended.Before(a.FirstByte) {
		t.Errorf("first attempt %+v", a)
	}
	if b.Seq != 2 || b.Tag != "tag" || b.Fault != "503" || b.Status != 503 || b.KeyDigest != "" || b.RequestID != sent.header.Get("X-Request-Id") {
		t.Errorf("second attempt %+v, sent %v", b, sent.header)
	}
	if got := do(t, s.Client(), "GET", s.URL+"/sim/log?since=1", ""); strings.Count(got.body, `"seq"`) != 1 || !strings.Contains(got.body, `"seq":2`) {
		t.Errorf("since=1: %s", got.body)
	}
	if got := do(t, s.Client(), "GET", s.URL+"/sim/log?since=x", ""); got.status != 400 {
		t.Errorf("since=x: %d, want 400", got.status)
	}
	c := p.Counts()
	if c.Calls != 2 || c.Completed != 2 || c.ByStatus[503] != 1 || c.ByFault["ok"] != 1 || c.OutputTokens != 20 || c.InFlight != 0 {
		t.Errorf("counts %+v", c)
	}
	do(t, s.Client(), "DELETE", s.URL+"/sim/log", "")
	if got := do(t, s.Client(), "GET", s.URL+"/sim/log", ""); strings.TrimSpace(got.body) != "[]" || p.Counts().Calls != 0 {
		t.Errorf("after clearing: %s, %+v", got.body, p.Counts())
	}
	post(t, s.URL+d.path, d.ask("m", "hi", true))
	if got := last(t, p).Seq; got != 3 {
		t.Errorf("the next attempt has number %d, want 3: numbers are never used twice", got)
	}
}

func TestTheLogIsBoundedAndCountsWhatItDropped(t *testing.T) {
	p := sim.New(sim.Config{LogSize: 3})
	for range 5 {
		p.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/v1/models", nil))
	}
	log := p.Log()
	if len(log) != 3 || log[0].Seq != 3 || log[2].Seq != 5 {
		t.Errorf("log %+v, want attempts 3 to 5", log)
	}
	if c := p.Counts(); c.Calls != 5 || c.Dropped != 2 {
		t.Errorf("counts %+v, want 5 calls and 2 dropped", c)
	}
}

func TestWhatACallerSendsIsClippedInTheLog(t *testing.T) {
	p, s := start(t, sim.Dials{})
	d := dialects[0]
	post(t, s.URL+d.path, d.ask(strings.Repeat("é", 5000), "hi", false), "X-Sim-Tag", strings.Repeat("t", 5000))
	if a := last(t, p); len(a.Model) > 200 || len(a.Tag) > 200 {
		t.Errorf("recorded a model of %d and a tag of %d bytes", len(a.Model), len(a.Tag))
	}
}

func TestTheControlAPIListsTheFaultsAndIsNeverBroken(t *testing.T) {
	_, s := start(t, sim.Dials{Fault: "reset", RequiredKey: "k"})
	var list []fault.Info
	got := do(t, s.Client(), "GET", s.URL+"/sim/faults", "")
	if err := json.Unmarshal([]byte(got.body), &list); err != nil || len(list) != len(fault.List()) {
		t.Errorf("faults %.200s, %v", got.body, err)
	}
	if got := do(t, s.Client(), "GET", s.URL+"/sim/counts", ""); got.body == "" || !strings.Contains(got.body, `"calls":0`) {
		t.Errorf("counts %s", got.body)
	}
	if got := do(t, s.Client(), "GET", s.URL+"/sim/nothing", ""); got.status != 404 {
		t.Errorf("unknown: %d, want 404", got.status)
	}
}

func TestNewRefusesDialsThatAreWrong(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	sim.New(sim.Config{Dials: sim.Dials{Fault: "nonsense"}})
}
