package attack

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// place is a key of the file: names, and "0" for an element of a list.
type place []string

func (p place) String() string { return strings.Join(p, ".") }

// schema is what `holdfast config schema` prints, as far as it is walked.
type schema struct {
	Ref        string            `json:"$ref"`
	Defs       map[string]schema `json:"$defs"`
	Properties map[string]schema
	AnyOf      []schema
	Items      *schema
	Pattern    string
	WriteOnly  bool
	Type       any

	// AdditionalProperties is false, or the schema of what stands under any name.
	AdditionalProperties json.RawMessage
}

// anyText reports whether a single value may be any text.
func (s schema) anyText() bool {
	return s.Pattern == "" && strings.Contains(fmt.Sprint(s.Type), "string")
}

// walk tells of every key that takes a single value.
func (root schema) walk(s schema, at place, tell func(place, schema)) {
	below := func(name string, s schema) { root.walk(s, append(slices.Clone(at), name), tell) }
	if s.Ref != "" {
		s = root.Defs[strings.TrimPrefix(s.Ref, "#/$defs/")]
	}
	for name, member := range s.Properties {
		below(name, member)
	}
	var named schema
	if json.Unmarshal(s.AdditionalProperties, &named) == nil && len(s.AdditionalProperties) > 0 {
		below("canary", named)
	}
	if s.Items != nil && (s.Items.Ref != "" || s.Items.WriteOnly) {
		below("0", *s.Items)
		return
	}
	for _, one := range s.AnyOf {
		if one.Items != nil && one.Items.Ref != "" {
			root.walk(one, at, tell)
			return
		}
	}
	for _, one := range s.AnyOf {
		root.walk(one, at, tell)
	}
	if s.Properties == nil && s.AnyOf == nil && len(s.AdditionalProperties) == 0 {
		tell(at, s)
	}
}

// looksSecret are keys that a secret would have, and notSecret those that have
// such a name and hold something else.
var (
	looksSecret = regexp.MustCompile(`(?i)(secret|token|password|passphrase|credential|api_?key|sha256|hmac)$|\.key$`)
	notSecret   = []string{"tls.key"} // a path
)

// secretsOfTheFile are the keys that hold secrets or digests of these, as the
// binary's own schema says.
func secretsOfTheFile(t *testing.T) map[string]schema {
	t.Helper()
	out, err := gatewayProcess("config", "schema").Output()
	var root schema
	if err != nil || json.Unmarshal(out, &root) != nil {
		t.Fatalf("%v in %.200s", err, out)
	}
	found := map[string]schema{}
	root.walk(root, nil, func(at place, s schema) {
		switch {
		case s.WriteOnly:
			found[at.String()] = s
		case s.anyText() && looksSecret.MatchString(at.String()) && !slices.Contains(notSecret, at.String()):
			t.Errorf("%s may be a secret, and the schema does not say so", at)
		}
	})
	return found
}

// emptiness is a way to say a secret that is none, and what is told of it.
type emptiness struct {
	name  string
	value any
	want  string // of a secret
	other string // of a digest; "": the same
}

const (
	noDigest = "want the SHA-256 digest of a key, 64 hexadecimal digits; holdfast key new makes both"
	ofEmpty  = "is the digest of an empty key; holdfast key new makes both"
	unset    = "the environment variable EMPTY is empty; set it, or write ${EMPTY:-default}"
)

func emptinesses(dir string) []emptiness {
	all := []emptiness{
		{"nothing", nil, "has no value; give it one or leave the key out", ""},
		{"no text", "", "is empty", noDigest},
		{"blanks", "   ", "is empty", noDigest},
		{"a tabulator", "\t", "is empty", noDigest},
		{"blanks of others", "\u00a0\u3000", "is empty", noDigest},
		{"what is not seen", "\u200b\ufeff\u2060", "is empty", noDigest},
		{"an empty variable", "${EMPTY}", unset, unset},
		{"an empty default", "${EMPTY:-}", "is empty", noDigest},
		{"a blank default", "${EMPTY:- }", "is empty", noDigest},
		{"a blank variable", "${BLANK}", "is empty", noDigest},
		{"an empty file", "${file:" + dir + "/empty}", "is empty", noDigest},
		{"a file of blank lines", "${file:" + dir + "/blank}", "is empty", noDigest},
		{"no file at all", "${file:/dev/null}", "is empty", noDigest},
	}
	for name, digest := range map[string]string{"zeros": strings.Repeat("0", 64), "zeros with a name": "sha256:" + strings.Repeat("0", 64)} {
		all = append(all, emptiness{name, digest, "", "is all zeros: the digest of no key; holdfast key new makes both"})
	}
	for _, text := range []string{"", "\n", "\r\n", " ", "\x00"} {
		all = append(all, emptiness{fmt.Sprintf("the digest of %q", text), digestOf(text), "", ofEmpty},
			emptiness{fmt.Sprintf("the digest of %q, in capitals", text), "sha256:" + strings.ToUpper(digestOf(text)), "", ofEmpty})
	}
	return all
}

// TestS29NoSecretIsEmpty: every key of the file that holds a secret is refused
// when it holds none, with the line and the reason. The keys are those of the
// schema, so that a later one is tried too.
func TestS29NoSecretIsEmpty(t *testing.T) {
	secrets := secretsOfTheFile(t)
	for _, known := range []string{"admin.token", "providers.canary.api_key", "providers.canary.keys.0.key", "keys.canary.sha256"} {
		if _, ok := secrets[known]; !ok {
			t.Errorf("the schema has no secret %s: this proves nothing", known)
		}
	}
	dir := t.TempDir()
	write(t, dir+"/empty", "")
	write(t, dir+"/blank", "\r\n \n\n")
	for _, e := range emptinesses(dir) {
		document := map[string]any{"version": 1, "routes": map[string]any{"chat": map[string]any{"targets": "canary/m"}}}
		want := map[string]string{} // by place
		for at, s := range secrets {
			message := e.want
			if s.Pattern != "" {
				message = orElse(e.other, e.want)
			}
			if message != "" {
				want[at] = message
				put(document, strings.Split(at, "."), e.value)
			}
		}
		refusedAt(t, e, document, want)
	}
}

func orElse(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// put sets a key of a document, and makes what is above it.
func put(document map[string]any, at place, value any) {
	name := at[0]
	switch {
	case len(at) == 1:
		document[name] = value
	case at[1] == "0":
		if len(at) == 2 {
			document[name] = []any{value}
			return
		}
		list, _ := document[name].([]any)
		if list == nil {
			list = []any{map[string]any{}}
			document[name] = list
		}
		put(list[0].(map[string]any), at[2:], value)
	default:
		if document[name] == nil {
			document[name] = map[string]any{}
		}
		put(document[name].(map[string]any), at[1:], value)
	}
}

// refusedAt fails unless validate and serve refuse the document at the lines of
// exactly these keys, with these messages.
func refusedAt(t *testing.T, e emptiness, document map[string]any, want map[string]string) {
	t.Helper()
	text, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "holdfast.yaml")
	write(t, file, string(text))
	command := gatewayProcess("validate", "--format", "json", file)
	command.Env = append(command.Env, "EMPTY=", "BLANK= ")
	out, err := command.Output()
	var told struct {
		Errors []struct {
			Line    int
			Message string
		}
	}
	if exitCode(err) != 2 || json.Unmarshal(out, &told) != nil {
		t.Errorf("%s: validate ended with %v and told %s", e.name, err, out)
		return
	}
	lines := strings.Split(string(text), "\n")
	value, _ := json.Marshal(e.value)
	for at, message := range want {
		member := at[strings.LastIndexByte(at, '.')+1:]
		found := slices.ContainsFunc(told.Errors, func(one struct {
			Line    int
			Message string
		}) bool {
			return one.Message == message && strings.TrimSuffix(strings.TrimSpace(lines[one.Line-1]), ",") == fmt.Sprintf("%q: %s", member, value)
		})
		if !found {
			t.Errorf("%s as %s: want %q at its line, got %s", e.name, at, message, out)
		}
	}
	if len(told.Errors) != len(want) {
		t.Errorf("%s: %d mistakes, want %d: %s", e.name, len(told.Errors), len(want), out)
	}
}

// TestS29ASecretThatBecomesEmptyChangesNothing: the file is refused, and the one
// before stays in force.
func TestS29ASecretThatBecomesEmptyChangesNothing(t *testing.T) {
	v := startVillain(t)
	file := filepath.Join(t.TempDir(), "key")
	write(t, file, providerKey()+"\n")
	g := serve(t, strings.Replace(settings(v.URL), "api_key: "+providerKey(), "api_key: \"${file:"+file+"}\"", 1))
	g.works(t)
	if err := os.Truncate(file, 0); err != nil {
		t.Fatal(err)
	}
	if status, text, err := g.operator("POST", "/api/v1/config/reload", ""); err != nil || status != 422 || !strings.Contains(text, "is empty") {
		t.Errorf("an emptied file: %d %s, %v", status, text, err)
	}
	v.be(nil)
	g.works(t)
	if seen := v.saw(); len(seen) != 1 || seen[0].header.Get("Authorization") != "Bearer "+providerKey() {
		t.Errorf("the provider saw %d calls, or another key", len(seen))
	}
}
