package pipenet_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-gateway/holdfast/internal/pipenet"
)

func TestServeAnswersInVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, stop := pipenet.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Hour) // the bubble's
			io.Copy(w, r.Body)
		}))
		defer stop()

		began := time.Now()
		resp, err := client.Post("http://anywhere.test/", "text/plain", strings.NewReader("hello"))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || string(body) != "hello" {
			t.Fatalf("body %q, %v; want hello", body, err)
		}
		if took := time.Since(began); took != time.Hour {
			t.Errorf("took %s of virtual time, want 1h", took)
		}
	})
}

func TestTheServerSeesItsCallerLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left := make(chan time.Duration, 1)
		client, stop := pipenet.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			began := time.Now()
			<-r.Context().Done()
			left <- time.Since(began)
		}))
		defer stop()

		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		req, _ := http.NewRequestWithContext(ctx, "GET", "http://anywhere.test/", nil)
		if _, err := client.Do(req); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v, want the deadline", err)
		}
		if after := <-left; after != 3*time.Second {
			t.Errorf("the server noticed after %s, want 3s", after)
		}
	})
}

func TestCloseGivesEOFAndLingerZeroGivesAReset(t *testing.T) {
	for _, hard := range []bool{false, true} {
		l := pipenet.Listen()
		go func() {
			server, err := l.Accept()
			if err != nil {
				return
			}
			if hard {
				server.(interface{ SetLinger(int) error }).SetLinger(0)
			}
			server.Close()
		}()
		client, err := l.Dial()
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.Read(make([]byte, 1))
		if got := errors.Is(err, syscall.ECONNRESET); got != hard {
			t.Errorf("hard=%v: read says %v", hard, err)
		}
		if got := errors.Is(err, io.EOF); got == hard {
			t.Errorf("hard=%v: read says %v", hard, err)
		}
		client.Close()
		l.Close()
	}
}

func TestAClosedListenerRefuses(t *testing.T) {
	l := pipenet.Listen()
	l.Close()
	l.Close()
	if _, err := l.Dial(); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("Dial: %v, want ECONNREFUSED", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: %v, want net.ErrClosed", err)
	}
	if l.Dialed() != 0 {
		t.Errorf("Dialed: %d, want 0", l.Dialed())
	}
}

func TestDialEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := pipenet.Listen().DialContext(ctx, "tcp", "nobody.accepts:80")
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the deadline", err)
		}
	})
}
