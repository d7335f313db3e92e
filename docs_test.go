package holdfast_test

import (
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// docLink is a Markdown link or image whose address we can check: no scheme.
var docLink = regexp.MustCompile(`\]\(([^)\s]+)\)`)

var docFence = regexp.MustCompile("(?ms)^ *```.*?^ *```$")

func TestEveryRelativeLinkInTheDocsResolves(t *testing.T) {
	root := os.DirFS(".")
	for _, page := range docPages(t, root) {
		for _, link := range relativeLinks(t, root, page) {
			if problem := checkLink(t, root, link); problem != "" {
				t.Errorf("%s: %s", page, problem)
			}
		}
	}
}

func TestEveryPageOfTheDocsCanBeReachedFromTheReadme(t *testing.T) {
	root := os.DirFS(".")
	reached := map[string]bool{}
	next := []string{"README.md", "docs/README.md"}
	for len(next) > 0 {
		page := next[0]
		next = next[1:]
		if reached[page] || path.Ext(page) != ".md" {
			continue
		}
		reached[page] = true
		for _, link := range relativeLinks(t, root, page) {
			target, _, _ := strings.Cut(link, "#")
			if exists(root, target) {
				next = append(next, target)
			}
		}
	}
	for _, page := range docPages(t, root) {
		if strings.HasPrefix(page, "docs/") && !reached[page] {
			t.Errorf("%s: no way leads here from README.md or docs/README.md", page)
		}
	}
}

func TestTheReadmeNamesWhatToRunFirst(t *testing.T) {
	readme := string(read(t, os.DirFS("."), "README.md"))
	for _, command := range []string{"make build", "make demo", "make test"} {
		if !strings.Contains(readme, command) {
			t.Errorf("README.md does not name %q", command)
		}
	}
}

func TestTheListForLanguageModelsNamesEveryPageForUsers(t *testing.T) {
	root := os.DirFS(".")
	listed := relativeLinks(t, root, "llms.txt")
	for _, link := range listed {
		if problem := checkLink(t, root, link); problem != "" {
			t.Errorf("llms.txt: %s", problem)
		}
	}
	for _, page := range docPages(t, root) {
		forUsers := strings.HasPrefix(page, "docs/") && path.Base(page) != "README.md" && path.Dir(page) != "docs/adr"
		if forUsers && !slices.Contains(listed, page) {
			t.Errorf("llms.txt does not list %s", page)
		}
	}
}

func TestADeadLinkIsReported(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir, "README.md", "# A page\n\n## The `second` part\n\n```\n[not a link](gone.md)\n```\n")
	root := os.DirFS(dir)
	for link, good := range map[string]bool{
		"README.md":                 true,
		"README.md#the-second-part": true,
		"README.md#the-third-part":  false,
		"gone.md":                   false,
		"../outside.md":             false,
	} {
		if problem := checkLink(t, root, link); (problem == "") != good {
			t.Errorf("%s: %q, want a good link: %t", link, problem, good)
		}
	}
	if links := relativeLinks(t, root, "README.md"); len(links) > 0 {
		t.Errorf("links %q inside a code block", links)
	}
}

// docPages lists the Markdown files that people read here.
func docPages(t *testing.T, root fs.FS) []string {
	t.Helper()
	return slices.DeleteFunc(sourceFiles(t, root), func(file string) bool {
		return path.Ext(file) != ".md" || slices.Contains(strings.Split(file, "/"), "testdata")
	})
}

// relativeLinks returns the addresses that a page links to inside this
// repository, as paths from its root, with their fragments.
func relativeLinks(t *testing.T, root fs.FS, page string) []string {
	t.Helper()
	text := docFence.ReplaceAllString(string(read(t, root, page)), "")
	var links []string
	for _, match := range docLink.FindAllStringSubmatch(text, -1) {
		address := match[1]
		switch {
		case strings.Contains(address, "://") || strings.HasPrefix(address, "mailto:"):
		case strings.HasPrefix(address, "#"):
			links = append(links, page+address)
		default:
			links = append(links, path.Join(path.Dir(page), address))
		}
	}
	return links
}

// checkLink says what is wrong with a link; "" if nothing is.
func checkLink(t *testing.T, root fs.FS, link string) string {
	t.Helper()
	target, fragment, _ := strings.Cut(link, "#")
	if !exists(root, target) {
		return "links to " + target + ", which does not exist"
	}
	if fragment != "" && !slices.Contains(anchors(string(read(t, root, target))), fragment) {
		return "links to " + link + ", and the page has no such heading"
	}
	return ""
}

func exists(root fs.FS, name string) bool {
	_, err := fs.Stat(root, name)
	return err == nil
}

var notInAnchor = regexp.MustCompile(`[^\p{L}\p{N} _-]`)

// anchors returns the fragments that a page's headings get where it is shown.
func anchors(markdown string) []string {
	var found []string
	for line := range strings.Lines(docFence.ReplaceAllString(markdown, "")) {
		title := strings.TrimLeft(line, "#")
		if title == line || !strings.HasPrefix(title, " ") {
			continue
		}
		slug := notInAnchor.ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), "")
		found = append(found, strings.ReplaceAll(slug, " ", "-"))
	}
	return found
}
