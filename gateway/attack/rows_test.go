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

// promised are the rows that this version answers.
const promised = "S1 S2 S3 S4 S5 S6 S7 S8 S9 S10 S11 S12 S13 S14 S18 S19 S20 S21 S22 S23 S24 S25 S26 S27 S29 S30 S31 S32 S33 S35 S36 S37 S38 S40"

// elsewhere are rows whose test has a name of its own.
var elsewhere = map[string]string{"S25": "TestR17SlowConnectionsEndAndDisturbNobody"}

// partly are rows of which a part waits for its room.
var partly = map[string]string{
	"S8":  "webhooks and probes do not exist; TestS8EveryConnectionOfOursIsLookedAt sees to it that they use the same door. What a proxy resolves is the proxy's",
	"S12": "stored provider addresses cannot be changed through the API",
	"S29": "webhooks do not exist; their secrets are tried when the schema has them",
	"S32": "captures, incidents and batches do not exist",
	"S33": "captures and incidents do not exist; stories of calls are for operators only",
}

// TestEveryRowHasATest, and the page that operators read names it.
func TestEveryRowHasATest(t *testing.T) {
	tests := testNames(t)
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "explanation", "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	for row := range strings.FieldsSeq(promised) {
		name := "Test" + row + "[A-Z]"
		if other := elsewhere[row]; other != "" {
			name = other + "$"
		}
		if !regexp.MustCompile(`(?m)^` + name).MatchString(tests) {
			t.Errorf("%s has no test", row)
		}
		if !regexp.MustCompile(`\| ` + row + ` \|`).Match(page) {
			t.Errorf("%s is not on the page about security", row)
		}
		if reason := partly[row]; reason != "" {
			t.Logf("%s, in part: %s", row, reason)
		}
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
