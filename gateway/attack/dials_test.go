package attack

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// dialers are the files and folders of the product that may name what opens
// connections, and why.
var dialers = map[string]string{
	"gateway/internal/reach":   "is the door",
	"transport.go":             "opens them with Config.Dial, which the gateway sets",
	"http1":                    "is given what opens them by transport.go",
	"gateway/doctor":           "is given Options.Dial by its command",
	"gateway/telemetry/traces": "is given Options.Dial by the server",
	"gateway/cli/operator.go":  "asks the gateway that its user names",
	"gateway/demo":             "asks what it started itself",
}

// outside are folders that are no part of the product.
var outside = []string{"bench", "conformance", "examples", "gateway/soak", "internal", "sim"}

// opening are names that open connections, by package.
var opening = map[string][]string{
	"net":  {"Dial", "DialTimeout", "DialTCP", "DialUDP", "DialIP", "DialUnix", "Dialer"},
	"tls":  {"Dial", "DialWithDialer", "Dialer"},
	"http": {"Get", "Head", "Post", "PostForm", "Client", "DefaultClient", "DefaultTransport", "Transport"},
}

// TestS8EveryConnectionOfOursIsLookedAt: what opens connections stands where it
// is known to go through the door, so that a later room (webhooks, probes) must
// say how it does.
func TestS8EveryConnectionOfOursIsLookedAt(t *testing.T) {
	root := filepath.Join("..", "..")
	used := map[string]bool{}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, _ := filepath.Rel(root, name) // name is below root
		relative = filepath.ToSlash(relative)
		if d.IsDir() {
			if slices.Contains(outside, relative) || d.Name() == "testdata" || len(d.Name()) > 2 && d.Name()[0] == '.' {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		for _, found := range openings(t, name) {
			known := ""
			for dialer := range dialers {
				if relative == dialer || strings.HasPrefix(relative, dialer+"/") {
					known = dialer
				}
			}
			if used[known] = true; known == "" {
				t.Errorf("%s names %s: say in this test how it goes through gateway/internal/reach", relative, found)
			}
		}
		return nil
	})
	if err != nil || !used["transport.go"] || !used["gateway/internal/reach"] {
		t.Errorf("this test looks at the wrong files: %v, %v", used, err)
	}
}

// openings are the names in a file that open connections.
func openings(t *testing.T, file string) (found []string) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if from, ok := s.X.(*ast.Ident); ok && slices.Contains(opening[from.Name], s.Sel.Name) {
				found = append(found, from.Name+"."+s.Sel.Name)
			}
		}
		return true
	})
	return found
}
