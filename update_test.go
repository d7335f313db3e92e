package holdfast_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/call"
)

// TestUpdatesUnderLoadLoseNothing: 100 of them, every tenth wrong, while calls
// come and go; the shares of old and new calls stay one.
func TestUpdatesUnderLoadLoseNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := build(t, route(to("primary", "sim/ok"), to("backup", "sim/ok")), "primary", "backup")
		w.direct()
		var all sync.WaitGroup
		var mu sync.Mutex
		failed, calls := 0, 0
		stop := time.Now().Add(10 * time.Second)
		for i := range 20 {
			all.Go(func() {
				for n := 0; time.Now().Before(stop); n++ {
					g := w.do(context.Background(), "chat", fmt.Appendf(nil, `{"model":"m","stream":%t,"messages":[{"role":"user","content":"%d %d"}]}`, n%2 == 0, i, n))
					mu.Lock()
					calls++
					if !g.complete("chat") {
						failed++
						t.Error(g)
					}
					mu.Unlock()
					time.Sleep(20 * time.Millisecond)
				}
			})
		}
		for i := range 100 {
			c := route(to("primary", "sim/ok"), to("backup", "sim/ok"))
			c.Transport, c.Recorder = http.RoundTripper(w), call.RecorderFunc(w.record)
			c.Routes[0].Timeout.Total = time.Duration(30+i) * time.Second
			c.Breaker.OpenFor = time.Duration(10+i) * time.Second
			if i%3 == 0 {
				c.Routes = append(c.Routes, holdfast.Route{Name: fmt.Sprintf("extra-%d", i), Models: []string{"x"}, Targets: c.Routes[0].Targets})
			}
			if i%10 == 9 {
				c.Routes[0].Recovery = "magic"
			}
			if err := w.hf.Update(c); (err != nil) != (i%10 == 9) {
				t.Errorf("update %d: %v", i, err)
			}
			_ = w.hf.Status()
			time.Sleep(100 * time.Millisecond)
		}
		all.Wait()
		s := w.hf.Status()
		if failed > 0 || calls < 1000 {
			t.Errorf("%d of %d calls failed", failed, calls)
		}
		if len(s.Routes) > 2 || len(s.Targets) != 2 {
			t.Errorf("what is no longer configured is remembered: %+v", s)
		}
		var attempts int64
		for _, target := range s.Targets {
			attempts += target.Attempts
			if target.InFlight != 0 {
				t.Errorf("%s holds %d permits", target.Name, target.InFlight)
			}
		}
		if int(attempts) != calls {
			t.Errorf("%d attempts are counted for %d calls", attempts, calls)
		}
	})
}
