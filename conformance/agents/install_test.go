package agents

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/holdfast-gateway/holdfast/internal/wanted"
)

// offline is what npm says where the registry cannot be reached.
var offline = regexp.MustCompile(`ENOTFOUND|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EAI_AGAIN|ENETUNREACH|EHOSTUNREACH|ERR_SOCKET_TIMEOUT`)

// installed returns the folder with the agents, which are fetched once for each
// lockfile.
func installed(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("npm"); err != nil {
		wanted.Missing(t, wanted.Clients, "npm is not on the PATH: %v", err)
	}
	lock, err := os.ReadFile("package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	folder := filepath.Join(cache, "holdfast", "clients", fmt.Sprintf("%x", sha256.Sum256(lock))[:16])
	if _, err := os.Stat(folder); err != nil {
		install(t, folder)
	}
	return folder
}

// install fetches the agents into a folder that appears when it is complete.
func install(t *testing.T, folder string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(folder), 0o755); err != nil {
		t.Fatal(err)
	}
	building, err := os.MkdirTemp(filepath.Dir(folder), "installing-") //nolint:usetesting // beside the folder that it becomes
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(building)
	for _, name := range []string{"package.json", "package-lock.json"} {
		content, err := os.ReadFile(name)
		if err == nil {
			err = os.WriteFile(filepath.Join(building, name), content, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	npm := exec.CommandContext(t.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
	npm.Dir = building
	if out, err := npm.CombinedOutput(); err != nil && offline.Match(out) {
		wanted.Missing(t, wanted.Clients, "npm cannot reach its registry: %.200s", out)
	} else if err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	if err := os.Rename(building, folder); err != nil {
		t.Fatal(err)
	}
}

// program finds an agent's program for this machine: npm installs the package of
// one platform only.
func program(t *testing.T, folder, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(folder, "node_modules", pattern))
	if err != nil || len(found) == 0 {
		wanted.Missing(t, wanted.Clients, "npm has no %s for this platform", pattern)
	}
	return found[0]
}

// TestTheLockfileHoldsTheVersionsThatAreAskedFor, and no address: where packages
// come from is everybody's own setting, what they are is fixed by their sums.
func TestTheLockfileHoldsTheVersionsThatAreAskedFor(t *testing.T) {
	asked, locked := versions(t), map[string]string{}
	var lock struct {
		Packages map[string]struct{ Version, Resolved, Integrity string }
	}
	read(t, "package-lock.json", &lock)
	for path, p := range lock.Packages {
		locked[strings.TrimPrefix(path, "node_modules/")] = p.Version
		if p.Resolved != "" || path != "" && !strings.HasPrefix(p.Integrity, "sha512-") {
			t.Errorf("%s: resolved %q, integrity %q", path, p.Resolved, p.Integrity)
		}
	}
	for name, version := range asked {
		if locked[name] != version {
			t.Errorf("%s: %q is locked, %q asked for", name, locked[name], version)
		}
	}
	if len(asked) != len(all) {
		t.Errorf("%d packages for %d agents", len(asked), len(all))
	}
}

// versions are those of package.json, by package.
func versions(t *testing.T) map[string]string {
	t.Helper()
	var asked struct{ Dependencies map[string]string }
	read(t, "package.json", &asked)
	return asked.Dependencies
}

func read(t *testing.T, file string, into any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}
