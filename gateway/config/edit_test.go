package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const someDigest = "0000000000000000000000000000000000000000000000000000000000000001"

func parsed(t *testing.T, text string) *File {
	t.Helper()
	f, err := parse("x.yaml", []byte(text), testEnvironment())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

const editable = "version: 1 # one\nproviders:\n  openai: # ours\nroutes:\n  chat: {targets: openai/gpt-4o}\n"

func TestAKeyIsAddedWhereKeysAre(t *testing.T) {
	added := []string{"new:", `  sha256: "` + strings.Repeat("2", 64) + `"`}
	old := "  old: {sha256: " + strings.Replace(someDigest, "0", "a", 1) + "}"
	lines := func(indent string) string { return indent + added[0] + "\n" + indent + added[1] + "\n" }
	for _, c := range []struct{ name, text, want string }{
		{"no keys yet", editable, editable + "\nkeys:\n" + lines("  ")},
		{"no keys yet, blank end", editable + "\n\n", editable + "\nkeys:\n" + lines("  ")},
		{"none left", editable + "keys: {} # nobody\n", editable + "keys:\n" + lines("  ")},
		{"others", editable + "keys: # who may\n" + old + "\n", editable + "keys: # who may\n" + lines("  ") + old + "\n"},
		{"indented further", editable + "keys:\n\n  # first\n  " + old + "\n", editable + "keys:\n" + lines("    ") + "\n  # first\n  " + old + "\n"},
		{"in the middle", "keys:\n" + old + "\n" + editable, "keys:\n" + lines("  ") + old + "\n" + editable},
	} {
		got, err := parsed(t, c.text).WithKey(added)
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %v\n%s\nwant\n%s", c.name, err, got, c.want)
			continue
		}
		if f := parsed(t, string(got)); f.Keys[0].Name != "new" && f.Keys[len(f.Keys)-1].Name != "new" {
			t.Errorf("%s: the key is not in the file", c.name)
		}
	}
	if _, err := parsed(t, editable+"keys: {old: {sha256: "+strings.Replace(someDigest, "0", "a", 1)+"}}\n").WithKey(added); err == nil {
		t.Error("keys on one line were changed")
	}
}

func TestAKeyIsTakenOutAndNothingElse(t *testing.T) {
	digest := func(i int) string { return fmt.Sprintf("%064x", i) + "a" }
	key := func(name string, i int) string { return "  " + name + ":\n    sha256: a" + digest(i)[2:] + "\n" }
	text := "keys:\n  # the shop\n" + key("web", 1) + "    # its tenant\n    tenant: shop\n\n  # the others\n" + key("app", 2) + "\n" + editable
	got, err := parsed(t, text).WithoutKey("web")
	if want := "keys:\n  # the shop\n\n  # the others\n" + key("app", 2) + "\n" + editable; err != nil || string(got) != want {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
	last, err := parsed(t, string(got)).WithoutKey("app")
	if err != nil || !strings.HasPrefix(string(last), "keys: {}\n") {
		t.Errorf("%v\n%s", err, last)
	}
	if f := parsed(t, string(last)); !f.KeysRequired() || len(f.Keys) != 0 {
		t.Error("with the last key gone, everybody may call")
	}
	if _, err := parsed(t, text).WithoutKey("wbe"); err == nil || !strings.Contains(err.Error(), `x.yaml: keys: no key "wbe"`) || !strings.Contains(err.Error(), `did you mean "web"?`) {
		t.Errorf("got %v", err)
	}
}

func TestReplacingAFileNeverLeavesABadOne(t *testing.T) {
	file := filepath.Join(t.TempDir(), "holdfast.yaml")
	link := file + ".link"
	if err := errors.Join(os.WriteFile(file, []byte(editable), 0o640), os.Symlink(file, link)); err != nil {
		t.Fatal(err)
	}
	if err := Replace(link, []byte("version: 1\n")); err == nil {
		t.Error("a file without routes was written")
	}
	if text, _ := os.ReadFile(file); string(text) != editable {
		t.Errorf("a mistake changed the file to %s", text)
	}
	if err := Replace(link, []byte(editable+"max_body: 1MiB\n")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(file)
	if text, _ := os.ReadFile(file); err != nil || info.Mode().Perm() != 0o640 || !strings.HasSuffix(string(text), "1MiB\n") {
		t.Errorf("%v, %v, %s", err, info, text)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Error("the link is none any more")
	}
}

func TestTwentyVersionsAreKeptForTheirOwnerOnly(t *testing.T) {
	t.Setenv("HOLDFAST_STATE", t.TempDir())
	h, err := HistoryOf("holdfast.yaml")
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 25 {
		for range 2 { // the same text twice is one version
			if err := h.Keep(fmt.Appendf(nil, "version %d: ${KEY}", i), start.Add(time.Duration(i)*time.Minute)); err != nil {
				t.Fatal(err)
			}
		}
	}
	versions, err := h.Versions()
	if err != nil || len(versions) != 20 || !versions[0].At.Equal(start.Add(24*time.Minute)) {
		t.Fatalf("%d versions, %v", len(versions), err)
	}
	for _, v := range versions {
		if info, err := os.Stat(v.File); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v %v", info, err)
		}
	}
	if text, _ := os.ReadFile(versions[0].File); string(text) != "version 24: ${KEY}" {
		t.Errorf("kept %s", text)
	}
	if other, _ := HistoryOf("other.yaml"); other == h {
		t.Error("two files share a history")
	}
}

func FuzzNoLiteLLMFilePanics(f *testing.F) {
	f.Add([]byte("model_list:\n- model_name: a\n  litellm_params: {model: openai/gpt-4o, api_key: os.environ/X}\nrouter_settings: {num_retries: 2, timeout: 30, fallbacks: [{a: [a]}]}\n"))
	f.Add([]byte("model_list:\n- model_name: \"a'b: #\"\n  litellm_params: {model: azure/x, api_base: https://a.example, api_version: v}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		_, _ = FromLiteLLM("fuzz.yaml", text)
	})
}

func TestLiteLLMsLimitsAreTheQuotasOfTheirTargets(t *testing.T) {
	got, err := FromLiteLLM("l.yaml", []byte(`model_list:
- {model_name: a, litellm_params: {model: openai/gpt-4o, rpm: 500, tpm: 200000}}
- {model_name: b, litellm_params: {model: openai/gpt-4o}}
- {model_name: c, litellm_params: {model: openai/gpt-4o, rpm: 7}}
- {model_name: d, litellm_params: {model: openai/mini, tpm: -1, rpm: many}}
`))
	if err != nil {
		t.Fatal(err)
	}
	quota := "'openai/gpt-4o'\n        quota: {rpm: 500, tpm: 200000}\n"
	if n := strings.Count(got, quota); n != 3 {
		t.Errorf("the one account has its quota in %d of 3 routes:\n%s", n, got)
	}
	for _, left := range []string{"model_list[2].litellm_params.rpm, tpm (the target has others already)", "model_list[3].litellm_params.tpm", "model_list[3].litellm_params.rpm"} {
		if !strings.Contains(got, "# not taken over: "+left) {
			t.Errorf("not said to be left: %s\n%s", left, got)
		}
	}
	if err := CheckShape("l.yaml", []byte(got)); err != nil {
		t.Error(err)
	}
}
