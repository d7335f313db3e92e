package holdfast_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-gateway/holdfast/concurrency"
)

// TestUploadsHoldHalfOfATargetsPermits: a body that streams past us lasts as long
// as its sender likes. Others find a permit; an upload too many is refused at once
// instead of filling the waiting room.
func TestUploadsHoldHalfOfATargetsPermits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := to("primary", "gpt")
		target.Concurrency = concurrency.Config{Max: 8}
		w := build(t, route(target), "primary")
		upload := func() (*io.PipeWriter, chan got) {
			from, to := io.Pipe()
			answered := make(chan got, 1)
			go func() {
				req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://app.invalid/v1/files", from)
				req.Header.Set("Content-Type", "multipart/form-data; boundary=x")
				answered <- w.send(req)
			}()
			_, _ = io.WriteString(to, "--x\r\n")
			return to, answered
		}
		var writers []*io.PipeWriter
		for range 4 {
			to, _ := upload()
			writers = append(writers, to)
		}
		synctest.Wait()
		if n := w.hf.Status().Targets[0].InFlight; n != 4 {
			t.Fatalf("%d uploads are under way, want 4", n)
		}
		began := time.Now()
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://app.invalid/v1/files", io.NopCloser(strings.NewReader("--x--")))
		req.Header.Set("Content-Type", "multipart/form-data; boundary=x")
		if g := w.send(req); g.status != http.StatusServiceUnavailable || g.header.Get("X-Holdfast-Reason") != "queue_full" || g.header.Get("Retry-After") == "" || time.Since(began) != 0 {
			t.Errorf("the fifth upload: %s after %s", g, time.Since(began))
		}
		if g := w.do(t.Context(), "chat", ask("chat", "m", false)); g.status != http.StatusOK || time.Since(began) > time.Second {
			t.Errorf("a call beside them: %s", g)
		}
		for _, to := range writers {
			_ = to.Close()
		}
		synctest.Wait()
		if n := w.hf.Status().Targets[0].InFlight; n != 0 {
			t.Errorf("%d attempts are under way after the uploads ended", n)
		}
		to, answered := upload()
		_ = to.Close()
		if g := <-answered; g.header.Get("X-Holdfast-Reason") == "queue_full" {
			t.Errorf("an upload after them: %s", g)
		}
	})
}
