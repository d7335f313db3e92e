package server_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast/gateway/server"
	"github.com/holdfast-gateway/holdfast/sim"
)

// streamOf asks for a stream of n tokens and returns its text.
func streamOf(client *http.Client, address, path string, n int) (string, error) {
	body := fmt.Sprintf(`{"model":"chat","stream":true,"max_tokens":%d,"messages":[{"role":"user","content":"hi"}]}`, n)
	resp, err := client.Post("http://"+address+path, "application/json", strings.NewReader(body))
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}

// TestADrainWith500StreamsLosesNone: the load balancer hears at once, calls are
// taken until it has had time to act, streams that are shorter than the drain
// are whole, and the others end with an error event that says so.
func TestADrainWith500StreamsLosesNone(t *testing.T) {
	const streams, short, long = 500, 10, 1000
	configuration := strings.Replace(oneRoute, "providers:", "concurrency: 1000\nqueue: {concurrency: 1000}\nproviders:", 1)
	g := start(t, configuration, server.Options{Delay: time.Second, Drain: 5 * time.Second})
	if err := g.provider.SetDials(sim.Dials{TokenInterval: 300 * time.Millisecond, OutputTokens: long}); err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: streams}}
	defer client.CloseIdleConnections()
	texts, errs := make([]string, streams), make([]error, streams)
	var all sync.WaitGroup
	for i := range streams {
		tokens := short
		if i%10 == 0 {
			tokens = long
		}
		all.Go(func() { texts[i], errs[i] = streamOf(client, g.Addr(), "/v1/chat/completions", tokens) })
	}
	// On a busy machine the first short ones may be over before the last one has
	// begun: those are whole too.
	waitFor(t, "every stream to begin", func() bool { return g.provider.Counts().Calls == streams })

	began := time.Now()
	g.stop()
	waitFor(t, "/readyz to say no", func() bool { status, _ := g.get("http://" + g.Addr() + "/readyz"); return status == 503 })
	if after := time.Since(began); after > 900*time.Millisecond {
		t.Errorf("/readyz said no after %s, and the listener closes after 1s", after)
	}
	waitFor(t, "new connections to be refused", func() bool {
		c, err := net.Dial("tcp", g.Addr())
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	if after := time.Since(began); after < time.Second {
		t.Errorf("connections were refused after %s, before the delay had passed", after)
	}
	all.Wait()
	if err := g.finish(); !errors.Is(err, server.ErrCut) {
		t.Errorf("ended with %v, want ErrCut", err)
	}
	for i, text := range texts {
		whole := strings.HasSuffix(text, "data: [DONE]\n\n") && !strings.Contains(text, `"error"`)
		told := strings.HasSuffix(text, "\n\n") && strings.Contains(text[strings.LastIndex(text[:len(text)-2], "\n\n")+2:], `data: {"error":`) && !strings.Contains(text, "[DONE]")
		if errs[i] != nil || i%10 == 0 && !told || i%10 != 0 && !whole {
			t.Fatalf("stream %d: whole %t, told %t, %v: ...%q", i, whole, told, errs[i], text[max(0, len(text)-200):])
		}
	}
}

func TestACallThatHasNoAnswerWhenTheDrainEndsIsRefusedInItsDialect(t *testing.T) {
	g := start(t, oneRoute, server.Options{Drain: 100 * time.Millisecond})
	if err := g.provider.SetDials(sim.Dials{HeaderDelay: time.Hour}); err != nil {
		t.Fatal(err)
	}
	type answer struct {
		resp *http.Response
		body string
		err  error
	}
	answered := make(chan answer, 1)
	go func() {
		resp, body, err := g.ask("/v1/chat/completions", `{"model":"chat","messages":[{"role":"user","content":"hi"}]}`)
		answered <- answer{resp, body, err}
	}()
	waitFor(t, "the call to arrive", func() bool { return g.provider.InFlight() == 1 })
	g.stop()
	a := <-answered
	if a.err != nil || a.resp.StatusCode != 503 || !strings.Contains(a.body, `"draining"`) || a.resp.Header.Get("X-Should-Retry") != "true" {
		t.Errorf("got %v %q %v", a.resp, a.body, a.err)
	}
}
