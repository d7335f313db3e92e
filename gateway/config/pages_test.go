package config

import (
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
)

// Whoever follows a page copies its blocks: one that begins with version: 1 must
// load as it stands, and a piece of a file may hold only keys that exist, with
// values that they take.
func TestEveryConfigurationInTheDocsIsOneThatLoads(t *testing.T) {
	whole, pieces := 0, 0
	for _, page := range markdownPages(t) {
		for _, block := range yamlBlocks(page.text) {
			var errs Errors
			if strings.HasPrefix(strings.TrimLeft(block, "\n"), "version: 1\n") {
				whole++
				_, err := parse(page.name, []byte(block), anySecrets())
				errs, _ = err.(Errors)
			} else {
				pieces++
				_, errs = decode(newSource(page.name, []byte(block)), []byte(block), anySecrets(), &File{})
			}
			for _, e := range errs {
				t.Error(e)
			}
		}
	}
	if whole < 8 || pieces < 8 {
		t.Errorf("found %d whole files and %d pieces in the pages: the fences have changed", whole, pieces)
	}
}

func TestABlockOfAPageKeepsItsLineNumbers(t *testing.T) {
	blocks := yamlBlocks("# A page\n\n```yaml\nversion: 1\nrotues: {}\n```\n\n```\nversion: 2\n```\n")
	if len(blocks) != 1 || blocks[0] != "\n\n\nversion: 1\nrotues: {}\n" {
		t.Fatalf("got %q", blocks)
	}
	_, err := parse("page.md", []byte(blocks[0]), anySecrets())
	if err == nil || !strings.HasPrefix(err.Error(), "page.md:5:1: ") {
		t.Errorf("got %v, want a mistake in line 5 of the page", err)
	}
}

// anySecrets is an environment in which everything is set.
func anySecrets() environment {
	return environment{
		lookup: func(name string) (string, bool) { return "http://127.0.0.1:1", true },
		read:   func(string) (string, error) { return testSecret, nil },
	}
}

// yamlBlocks returns the ```yaml blocks of a page. Empty lines stand for what is
// before them, so that a mistake is reported at its line of the page.
func yamlBlocks(page string) []string {
	var blocks []string
	var block strings.Builder
	inside, line := false, 0
	for text := range strings.Lines(page) {
		line++
		switch {
		case !inside && strings.TrimSpace(text) == "```yaml":
			inside = true
			block.Reset()
			block.WriteString(strings.Repeat("\n", line))
		case inside && strings.TrimSpace(text) == "```":
			inside = false
			blocks = append(blocks, block.String())
		case inside:
			block.WriteString(text)
		}
	}
	return blocks
}

type markdownPage struct{ name, text string }

// markdownPages returns README.md and every page below docs/.
func markdownPages(t *testing.T) []markdownPage {
	t.Helper()
	root := os.DirFS(repository)
	names := []string{"README.md"}
	err := fs.WalkDir(root, "docs", func(name string, _ fs.DirEntry, err error) error {
		if path.Ext(name) == ".md" {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	pages := make([]markdownPage, len(names))
	for i, name := range names {
		text, err := fs.ReadFile(root, name)
		if err != nil {
			t.Fatal(err)
		}
		pages[i] = markdownPage{name, string(text)}
	}
	return pages
}
