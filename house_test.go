package holdfast_test

import (
	"bytes"
	"go/format"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"unicode/utf8"
)

func TestEveryGoFileIsFormatted(t *testing.T) {
	root := os.DirFS(".")
	for _, file := range goFiles(t, root) {
		source := read(t, root, file)
		formatted, err := format.Source(source)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if !bytes.Equal(source, formatted) {
			t.Errorf("%s: not formatted; `make fmt` does it", file)
		}
	}
}

// machinePath finds absolute paths that exist on one machine only: below a
// person's home, a mounted checkout or a drive letter. A path that begins in
// the middle of a word is part of a URL or of a relative path.
var machinePath = regexp.MustCompile(`(?m)(?:^|[^\w.~-])(?:/(?:home|Users|root|work|workspace|builds)/[\w.-]+|[A-Z]:\\Users\\)`)

func TestNoFileNamesAPathOfOneMachine(t *testing.T) {
	root := os.DirFS(".")
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range sourceFiles(t, root) {
		content := read(t, root, file)
		if !utf8.Valid(content) {
			continue // an image or another binary
		}
		if found := machinePath.Find(content); found != nil {
			t.Errorf("%s: names the path %q of one machine", file, found)
		}
		// A checkout directly below the root directory would match too much.
		if len(filepath.Dir(here)) > 1 && bytes.Contains(content, []byte(here+"/")) {
			t.Errorf("%s: names this checkout, %s", file, here)
		}
	}
}

func TestMachinePathsAreRecognised(t *testing.T) {
	// Assembled, so that this file does not name one itself.
	for _, p := range []string{"/home" + "/ada/x", "see /Users" + "/ada", `C:` + `\Users\ada`, "\"/work" + "/tree\""} {
		if !machinePath.MatchString(p) {
			t.Errorf("%q is not recognised", p)
		}
	}
	for _, p := range []string{"https://example.com/home/page", "docs/work/x", "/homes/x", "/v1/messages", "/etc/ssl/certs"} {
		if machinePath.MatchString(p) {
			t.Errorf("%q is taken for a machine's path", p)
		}
	}
}

func TestScriptsAreExecutable(t *testing.T) {
	root := os.DirFS(".")
	for _, file := range sourceFiles(t, root) {
		if !slices.Contains([]string{".ci", "scripts"}, path.Dir(file)) {
			continue
		}
		info, err := fs.Stat(root, file)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode()&0o111 == 0 {
			t.Errorf("%s is not executable", file)
		}
	}
}

func read(t *testing.T, root fs.FS, file string) []byte {
	t.Helper()
	content, err := fs.ReadFile(root, file)
	if err != nil {
		t.Fatal(err)
	}
	return content
}
