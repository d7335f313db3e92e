package all

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-gateway/holdfast/provider"
)

var update = flag.Bool("update", false, "write the vendor tables into docs/reference/classes.md")

func TestVendorsStandInAlphabeticalOrderAndAreFoundByName(t *testing.T) {
	var names []string
	for _, v := range Vendors() {
		names = append(names, v.Name)
		if ByName(v.Name) != v {
			t.Errorf("%s is not found by its name", v.Name)
		}
		for _, host := range v.Hosts {
			if host[0] == '.' { // everything below it
				host = "some-customer" + host
			}
			if ByHost(host) != v || ByHost(strings.ToUpper(host)+":443") != v {
				t.Errorf("%s is not found by its host %s", v.Name, host)
			}
		}
	}
	if !slices.IsSorted(names) || len(slices.Compact(names)) != len(Vendors()) {
		t.Errorf("got %q", names)
	}
	if ByName("nobody") != nil || ByHost("localhost:8080") != nil || ByHost("") != nil {
		t.Error("somebody nobody knows was found")
	}
}

func TestAVendorThatIsOnlyDescribedIsNoTarget(t *testing.T) {
	for _, name := range []string{"bedrock", "cohere", "gemini", "vertex"} {
		if !Described(name) || ByName(name) != nil {
			t.Errorf("%s: described %v, a target %v", name, Described(name), ByName(name) != nil)
		}
	}
	if Described("openai") || len(Tables()) != len(Vendors())+4 {
		t.Errorf("%d tables, %d vendors", len(Tables()), len(Vendors()))
	}
}

func TestAPathThatManyVendorsReadIsOpenAIs(t *testing.T) {
	for path, want := range map[string]string{
		"/v1/chat/completions":                     "openai",
		"/v1/messages":                             "anthropic",
		"/openai/deployments/gpt/chat/completions": "azure",
		"/openai/responses":                        "azure",
		"/models/chat/completions":                 "azure",
	} {
		if v, ep := Reading("POST", path); v == nil || v.Name != want || ep.Dialect == nil {
			t.Errorf("%s: read by %v, want %s", path, v, want)
		}
	}
	if v, _ := Reading("GET", "/v1/models"); v != nil {
		t.Errorf("a list of models is read by %s", v.Name)
	}
}

func TestTheListCannotBeChangedFromOutside(t *testing.T) {
	Vendors()[0] = nil
	if Vendors()[0] == nil {
		t.Error("a caller changed the list")
	}
}

// With -update, or HOLDFAST_WRITE_DOCS set, it writes the page.
func TestTheReferenceSaysWhatTheVendorTablesSay(t *testing.T) {
	const begin, end = "<!-- vendors: begin -->\n", "<!-- vendors: end -->\n"
	page := filepath.Join("..", "..", "docs", "reference", "classes.md")
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, opened := strings.Cut(string(text), begin)
	old, foot, closed := strings.Cut(rest, end)
	if !opened || !closed {
		t.Fatalf("%s: no lines %q and %q", page, begin, end)
	}
	want := tables()
	if old == want {
		return
	}
	if !*update && os.Getenv("HOLDFAST_WRITE_DOCS") == "" {
		t.Fatalf("%s is not what the code says; `go test ./provider/all -update` writes it", page)
	}
	if err := os.WriteFile(page, []byte(head+begin+want+end+foot), 0o644); err != nil {
		t.Fatal(err)
	}
}

func tables() string {
	var b strings.Builder
	section := func(title string, rows provider.Table) {
		b.WriteString("\n### " + title + "\n\n" + rows.Rows())
	}
	for _, v := range Tables() {
		section("`"+v.Name+"`", v.Table)
	}
	section("Errors inside an answer, every vendor", provider.InBand)
	section("Statuses, every vendor", provider.Common)
	return b.String() + "\n"
}
