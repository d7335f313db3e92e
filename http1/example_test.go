package http1_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/holdfast-gateway/holdfast/http1"
)

// A Transport stands where an http.Transport would. Requests that it does not do
// go to its Fallback.
func ExampleTransport() {
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s asked with %s", r.UserAgent(), r.Proto)
	}))
	defer provider.Close()

	transport := &http1.Transport{
		IdleTimeout: time.Minute,
		Proxy:       http.ProxyFromEnvironment,
		Fallback:    http.DefaultTransport,
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}

	resp, err := client.Get(provider.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	fmt.Println(string(answer), err)
	// Output: Go-http-client/1.1 asked with HTTP/1.1 <nil>
}
