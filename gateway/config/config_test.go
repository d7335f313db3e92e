package config

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast/quota"
)

var update = flag.Bool("update", false, "write what the tests found into testdata and docs")

const testSecret = "sk-test-0123456789"

// testEnvironment has one key and one secret file.
func testEnvironment() environment {
	values := map[string]string{"OPENAI_API_KEY": testSecret, "EMPTY": ""}
	return environment{
		lookup: func(name string) (string, bool) { v, ok := values[name]; return v, ok },
		read: func(path string) (string, error) {
			if path == "secrets/anthropic" {
				return testSecret + "\n", nil
			}
			return "", syscall.ENOENT
		},
	}
}

func load(t testing.TB, file string) (*File, error) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return parse(filepath.ToSlash(file), text, testEnvironment())
}

func files(t testing.TB, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) == 0 {
		t.Fatalf("no files %s: %v", pattern, err)
	}
	return found
}

func TestGoodFilesAreAccepted(t *testing.T) {
	for _, file := range files(t, "testdata/good/*.yaml") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			f, err := load(t, file)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Holdfast(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestBadFilesProduceExactlyTheirMessages(t *testing.T) {
	for _, file := range files(t, "testdata/bad/*.yaml") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			_, err := load(t, file)
			if err == nil {
				t.Fatal("accepted")
			}
			got := err.Error() + "\n"
			golden := strings.TrimSuffix(file, ".yaml") + ".want"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if strings.Contains(got, testSecret) || strings.Contains(got, "abcdefghijklmnop") {
				t.Error("a secret is in the message")
			}
		})
	}
}

func TestEveryMistakeHasAPlace(t *testing.T) {
	_, err := load(t, "testdata/bad/several-mistakes.yaml")
	var all Errors
	if !errors.As(err, &all) || len(all) < 3 {
		t.Fatalf("got %v, want several mistakes at once", err)
	}
	for _, one := range all {
		if one.Line == 0 || one.Column == 0 || one.Source == "" {
			t.Errorf("%+v: no place", one)
		}
	}
}

func TestTheFileBecomesWhatItSays(t *testing.T) {
	f, err := load(t, "testdata/good/everything.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := f.holdfast(testEnvironment())
	if err != nil {
		t.Fatal(err)
	}
	chat := c.Routes[0]
	for _, check := range []struct {
		what      string
		got, want any
	}{
		{"names of the routes in file order", fmt.Sprint(c.Routes[0].Name, c.Routes[1].Name, c.Routes[2].Name), "chatclaudeeverything-else"},
		{"models", strings.Join(chat.Models, " "), "gpt-* chat"},
		{"models of a route without match", strings.Join(c.Routes[1].Models, " "), "claude"},
		{"model of provider/*", c.Routes[2].Targets[0].Model, ""},
		{"first target", chat.Targets[0].Name, "openai/gpt-4o"},
		{"weight", chat.Targets[0].Weight, 3},
		{"context", chat.Targets[0].Context, 128000},
		{"vendor of a provider with a kind", chat.Targets[2].Vendor, "openai"},
		{"vendor of a provider named like one", chat.Targets[0].Vendor, "openai"},
		{"address", chat.Targets[2].BaseURL, "http://127.0.0.1:11434/v1"},
		{"lenient end", chat.Targets[2].LenientEnd, true},
		{"key", chat.Targets[0].Keys[0].Secret, testSecret},
		{"key from a file, without its line break", c.Routes[1].Targets[0].Keys[0].Secret, testSecret},
		{"default of a reference", c.Routes[1].Targets[0].Keys[1].Secret, "sk-ant-none"},
		{"provider's concurrency", chat.Targets[0].Concurrency.Max, 10},
		{"concurrency switched off", chat.Targets[2].Concurrency.Max, -1},
		{"provider's quota", chat.Targets[0].Quota, quota.Config{RPM: 500, RPD: 10_000, TPM: 200_000, Accounting: "openai", Reserve: "max_tokens", Share: 0.9, Burst: 10 * time.Second, MaxOutput: 16384}},
		{"target's own quota", chat.Targets[1].Quota, quota.Config{TPM: 2_000_000, ITPM: -1}},
		{"limits of input and output", c.Routes[1].Targets[0].Quota, quota.Config{ITPM: 400_000, OTPM: 80_000}},
		{"total", chat.Timeout.Total, 30 * time.Second},
		{"clock switched off", chat.Timeout.Stall, time.Duration(-1)},
		{"budget", chat.Retry.BudgetRatio, 0.1},
		{"budget in percent", c.Retry.BudgetRatio, 0.1},
		{"breaker of the route at its targets", chat.Targets[0].Breaker.SlowAfter, 4 * time.Second},
		{"breaker's switched off cause", chat.Targets[0].Breaker.Consecutive, -1},
		{"slow ratio in percent", chat.Targets[0].Breaker.SlowRatio, 0.8},
		{"priority", chat.Priority, 10},
		{"queue", chat.Queue.Running, 20},
		{"waiting places", chat.Queue.MaxDepth, 100},
		{"wait", chat.Queue.MaxWait, time.Second},
		{"largest body", c.MaxBody, int64(16 << 20)},
		{"largest held answer", c.MaxAnswer, 65536},
		{"error codes", chat.ErrorCodes, "seed"},
		{"client retries", chat.ClientRetries, "pace"},
		{"terminal status", chat.TerminalStatus, 429},
		{"policy", chat.OnPolicyViolation, "fallback"},
		{"listed models", strings.Join(f.Models(), " "), "chat claude"},
	} {
		if check.got != check.want {
			t.Errorf("%s: got %v, want %v", check.what, check.got, check.want)
		}
	}
}

func TestOwnMembersWinOverMergedOnes(t *testing.T) {
	f, err := load(t, "testdata/good/anchors.yaml")
	if err != nil {
		t.Fatal(err)
	}
	batch := f.Routes[1].Timeout
	if batch.Total != time.Hour || batch.Idle != time.Minute {
		t.Errorf("got total %s and idle %s, want 1h and 1m", batch.Total, batch.Idle)
	}
	if f.Providers[0].APIKey != "${not-a-reference}" {
		t.Error("$${ did not stand for ${")
	}
}

func TestMaxConcurrencyComesFromTheEnvironmentInTheInteractiveProfile(t *testing.T) {
	const file = "version: 1\nprofile: %s\nproviders: {openai: }\nroutes: {chat: {targets: openai/gpt-4o}}\n"
	for _, c := range []struct {
		profile, variable, value string
		want                     int
	}{
		{"interactive", "HOLDFAST_MAX_CONCURRENCY", "7", 7},
		{"interactive", "OPENAI_MAX_CONCURRENCY", "8", 8},
		{"standard", "HOLDFAST_MAX_CONCURRENCY", "7", 0},
	} {
		env := environment{lookup: func(name string) (string, bool) { return c.value, name == c.variable }}
		f, err := parse("x.yaml", fmt.Appendf(nil, file, c.profile), env)
		if err != nil {
			t.Fatal(err)
		}
		got, err := f.holdfast(env)
		if err != nil || got.Concurrency.Max != c.want {
			t.Errorf("%s with %s=%s: %d, %v; want %d", c.profile, c.variable, c.value, got.Concurrency.Max, err, c.want)
		}
	}
}

func TestAMissingFileIsReportedWithItsName(t *testing.T) {
	_, err := Load("testdata/none.yaml")
	if err == nil || err.Error() != "testdata/none.yaml: no such file or directory" {
		t.Errorf("got %v", err)
	}
}

func FuzzNoFilePanicsOrPrintsASecret(f *testing.F) {
	for _, file := range append(files(f, "testdata/good/*.yaml"), files(f, "testdata/bad/*.yaml")...) {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		_, err := parse("fuzz.yaml", text, testEnvironment())
		if err != nil && strings.Contains(err.Error(), testSecret) && !strings.Contains(string(text), testSecret) {
			t.Error("what a reference stands for is in the message")
		}
	})
}
