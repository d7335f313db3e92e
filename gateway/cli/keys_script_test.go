package cli_test

import (
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// withKey runs a command of the scripts with a header that holds the key in a
// file: bearer web.key curl ...
func withKey(header, prefix string) func() {
	return func() {
		secret, err := os.ReadFile(os.Args[1])
		if err != nil || len(os.Args) < 3 || os.Args[2] != "curl" {
			os.Exit(2)
		}
		line := header + ": " + prefix + strings.TrimSpace(string(secret))
		os.Exit(curl(append([]string{"-H", line}, os.Args[3:]...)))
	}
}

// eventually STATUS KEYFILE URL waits until an answer has that status, for as
// long as a change of the file may take to be noticed.
func eventually(ts *testscript.TestScript, _ bool, args []string) {
	status, err := strconv.Atoi(args[0])
	ts.Check(err)
	secret := strings.TrimSpace(ts.ReadFile(args[1]))
	began := time.Now()
	for got := 0; ; time.Sleep(10 * time.Millisecond) {
		req, err := http.NewRequest(http.MethodGet, args[2], nil)
		ts.Check(err)
		req.Header.Set("Authorization", "Bearer "+secret)
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
			if got = resp.StatusCode; got == status {
				return
			}
		}
		if time.Since(began) > 5*time.Second { // a busy machine; the bound itself is tested with the server
			ts.Fatalf("still %d, want %d", got, status)
		}
	}
}
