package holdfast_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/holdfast-gateway/holdfast"
)

// twice is an answer whose end is told twice: http.Transport reads it, package
// http1 does not.
const twice = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n2\r\n{}\r\n0\r\n\r\n"

func TestTheConfigSaysWhichClientSpeaksToTheProviders(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				if req, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					_, _ = io.Copy(io.Discard, req.Body)
					_, _ = io.WriteString(c, twice)
				}
			}()
		}
	}()
	target := to("provider", "m")
	target.BaseURL = "http://" + l.Addr().String()
	config := route(target)
	config.Routes[0].Retry.MaxAttempts = 1
	hf, err := holdfast.NewTransport(config)
	if err != nil {
		t.Fatal(err)
	}
	defer hf.Close()
	for _, c := range []struct {
		client string
		read   bool // the answer was, and it is Holdfast that finds it wanting
	}{{"", false}, {"net", true}, {"lean", false}, {"net", true}} {
		config.HTTP = c.client
		if err := hf.Update(config); err != nil {
			t.Fatal(err)
		}
		if got := classOf(t, hf); (got != "transport") != c.read {
			t.Errorf("with the client %q the attempt ended as %s", c.client, got)
		}
	}
	config.HTTP = "curl"
	if err := hf.Update(config); err == nil || !strings.Contains(err.Error(), `http: "curl" is none of lean, net`) {
		t.Errorf("a client that does not exist: %v", err)
	}
}

// classOf asks once, and returns how the attempt ended.
func classOf(t *testing.T, hf *holdfast.Transport) string {
	t.Helper()
	before := hf.Status().Targets[0].Classes
	req, _ := http.NewRequestWithContext(context.Background(), "POST", "http://app.invalid/v1/chat/completions", bytes.NewReader(ask("chat", "m", false)))
	resp, err := hf.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	for class, n := range hf.Status().Targets[0].Classes {
		if n > before[class] {
			return class
		}
	}
	return "nothing"
}
