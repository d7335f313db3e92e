package attack

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// rows are the attacks that this version answers. elsewhere says why a row has
// no test of its name here: because its room does not exist, or because another
// test holds it.
var rows = map[string]string{
	"S1": "", "S3": "", "S4": "", "S5": "", "S6": "", "S7": "", "S9": "", "S10": "", "S11": "", "S12": "", "S14": "", "S18": "", "S19": "", "S20": "", "S21": "",
	"S22": "", "S23": "", "S24": "", "S26": "", "S30": "", "S31": "", "S32": "", "S33": "", "S35": "", "S36": "", "S38": "", "S40": "",
	"S2":  "there is no search and no database",
	"S8":  "no address comes from a caller: webhooks and probes do not exist, and images are never fetched (S7 sees to it)",
	"S25": "TestR17SlowConnectionsEndAndDisturbNobody",
	"S29": "webhooks do not exist",
}

// partly are rows of which a part waits for its room.
var partly = map[string]string{
	"S12": "stored provider addresses cannot be changed through the API",
	"S32": "captures, incidents and batches do not exist",
	"S33": "captures and incidents do not exist; stories of calls are for operators only",
}

// TestEveryRowHasATestOrAReason, and the page that operators read names it.
func TestEveryRowHasATestOrAReason(t *testing.T) {
	tests := testNames(t)
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "explanation", "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	for row, reason := range rows {
		own := regexp.MustCompile(`(?m)^Test` + row + `[A-Z]`)
		switch {
		case reason == "" && !own.MatchString(tests):
			t.Errorf("%s has no test", row)
		case strings.HasPrefix(reason, "Test") && !strings.Contains(tests, reason+"\n"):
			t.Errorf("%s: there is no %s", row, reason)
		case !regexp.MustCompile(`\| ` + row + ` \|`).Match(page):
			t.Errorf("%s is not on the page about security", row)
		case reason != "":
			t.Logf("%s: %s", row, reason)
		}
	}
	for row, reason := range partly {
		t.Logf("%s, in part: %s", row, reason)
	}
}

// testNames are the names of this package's tests, a line each.
func testNames(t *testing.T) string {
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var names strings.Builder
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				names.WriteString(f.Name.Name + "\n")
			}
		}
	}
	return names.String()
}
