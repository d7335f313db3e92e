package cli_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/holdfast-gateway/holdfast/gateway/cli"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"holdfast": func() {
			os.Exit(cli.Main(context.Background(), os.Args[1:], os.Stdout, os.Stderr, "v0.0.0-test"))
		},
		"curl":    func() { os.Exit(curl(os.Args[1:])) },
		"bearer":  withKey("Authorization", "Bearer "),
		"xapikey": withKey("X-Api-Key", ""),
		"apikey":  withKey("Api-Key", ""),
	})
}

// The scripts read like a manual: what one types, and what comes of it.
func TestTheCommandLineDoesWhatTheScriptsSay(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("GORACE", "atexit_sleep_ms=0") // a second at the end of every command otherwise
			env.Setenv("HOLDFAST_STATE", env.WorkDir+"/state")
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"ports":   ports,
			"waitfor": waitFor,

			"eventually": eventually,
			"capture":    capture,
		},
	})
}

// ports NAME... sets each variable to an address that is free.
func ports(ts *testscript.TestScript, _ bool, names []string) {
	for _, name := range names {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		defer l.Close() // all at the end, so that they differ
		ts.Setenv(name, l.Addr().String())
	}
}

// waitfor URL [TEXT] waits until an answer with TEXT in it comes.
func waitFor(ts *testscript.TestScript, _ bool, args []string) {
	url, text := args[0], strings.Join(args[1:], " ")
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		resp, err := http.Get(url)
		if err != nil {
			continue
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err == nil && strings.Contains(string(body), text) {
			return
		}
	}
	ts.Fatalf("%s did not answer with %q", url, text)
}

// capture NAME PATTERN sets a variable to the first group of a pattern in what
// the last command printed.
func capture(ts *testscript.TestScript, _ bool, args []string) {
	found := regexp.MustCompile(args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if len(found) < 2 {
		ts.Fatalf("nothing was printed that fits %s", args[1])
	}
	ts.Setenv(args[0], found[1])
}

// curl is as much of curl as the scripts need: -s, -i, -N, -H, -d and -X.
func curl(args []string) int {
	method, body, show := "GET", "", false
	header := http.Header{}
	var url string
	for i := 0; i < len(args); i++ {
		switch arg := args[i]; {
		case arg == "-H":
			i++
			name, value, _ := strings.Cut(args[i], ": ")
			header.Add(name, value)
		case arg == "-d":
			i++
			method, body = "POST", args[i]
		case arg == "-X":
			i++
			method = args[i]
		case strings.HasPrefix(arg, "-"):
			show = show || strings.Contains(arg, "i")
		default:
			url = arg
		}
	}
	if !strings.Contains(url, "://") {
		url = "http://" + url
	}
	return fetch(method, url, body, header, show)
}

func fetch(method, url, body string, header http.Header, show bool) int {
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	req.Header = header
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 7
	}
	defer resp.Body.Close()
	if show {
		fmt.Println("HTTP/1.1", resp.Status)
		for _, name := range slices.Sorted(maps.Keys(resp.Header)) {
			fmt.Printf("%s: %s\n", strings.ToLower(name), strings.Join(resp.Header[name], ", "))
		}
		fmt.Println()
	}
	if _, err := io.Copy(os.Stdout, resp.Body); err != nil {
		fmt.Fprintln(os.Stderr, "transfer closed with outstanding data remaining")
		return 18
	}
	return 0
}
