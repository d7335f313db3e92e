package conformance

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast/internal/wanted"
)

// oldestNode is the oldest release of Node that all clients run on.
const oldestNode = 20

// nodeClients are the modules of node/, one process each.
var nodeClients = []string{"agents", "ai", "anthropic", "genai", "langchain", "openai"}

// order is one flow of a client; see node/run.mjs.
type order struct {
	ID       int             `json:"id"`
	Flow     string          `json:"flow"`
	Base     string          `json:"base"`
	Key      string          `json:"key"`
	Model    string          `json:"model"`
	Stream   bool            `json:"stream"`
	Prompt   string          `json:"prompt"`
	Timeout  float64         `json:"timeout_s,omitempty"` // of the client, where it is not its default
	Body     json.RawMessage `json:"body,omitempty"`
	Deadline int             `json:"deadline_ms"`
}

// reply is what a program saw.
type reply struct {
	ID       int
	Ready    bool
	Requests int // made by the client, its own retries included
	Result   any
	Error    *raised
	Heard    string // of a stream, before it broke
	Late     bool   // nothing was seen within the deadline
}

// raised is an error as a program would catch it.
type raised struct {
	Class, Message, Code, Type string
	Status                     int
	Inner                      *raised
}

// child is a process with one client that does not run in this one.
type child struct {
	in     io.WriteCloser
	stderr bytes.Buffer

	mu      sync.Mutex
	last    int
	waiting map[int]chan reply
}

// startNode starts a client from npm, which ends with the test.
func startNode(t *testing.T, home, client string) *child {
	t.Helper()
	cmd := exec.Command("node", "run.mjs", client)
	cmd.Dir = home
	return startProcess(t, client, cmd)
}

func startProcess(t *testing.T, client string, cmd *exec.Cmd) *child {
	t.Helper()
	// Nothing of the developer's own keys, proxies or tracing.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "TMPDIR=" + os.TempDir(), "NO_COLOR=1", "NODE_NO_WARNINGS=1"}
	n := &child{waiting: map[int]chan reply{}}
	cmd.Stderr = &n.stderr
	in, errIn := cmd.StdinPipe()
	out, errOut := cmd.StdoutPipe()
	if err := errors.Join(errIn, errOut, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	n.in = in
	ready := make(chan reply, 1)
	n.waiting[0] = ready
	var reading sync.WaitGroup
	reading.Go(func() { n.read(out) })
	t.Cleanup(func() {
		_ = in.Close()
		reading.Wait()
		if err := cmd.Wait(); err != nil || t.Failed() && n.stderr.Len() > 0 {
			t.Errorf("%s ended with %v: %s", client, err, n.stderr.String())
		}
	})
	if _, ok := <-ready; !ok {
		t.Fatalf("%s did not start", client)
	}
	return n
}

// read hands each line to whoever waits for it, until the process ends.
func (n *child) read(out io.Reader) {
	for lines := json.NewDecoder(bufio.NewReader(out)); ; {
		var r reply
		err := lines.Decode(&r)
		n.mu.Lock()
		if err != nil {
			for _, gone := range n.waiting {
				close(gone)
			}
			n.waiting = nil
			n.mu.Unlock()
			return
		}
		if to := n.waiting[r.ID]; to != nil {
			to <- r
			delete(n.waiting, r.ID)
		}
		n.mu.Unlock()
	}
}

var errNodeGone = errors.New("the client's process has ended")

// ask runs one order. Several may run at a time.
func (n *child) ask(o order, deadline time.Duration) (reply, error) {
	n.mu.Lock()
	if n.waiting == nil {
		n.mu.Unlock()
		return reply{}, errNodeGone
	}
	n.last++
	o.ID, o.Deadline = n.last, int(deadline.Milliseconds())
	answer := make(chan reply, 1)
	n.waiting[o.ID] = answer
	line, err := json.Marshal(o)
	if err == nil {
		_, err = n.in.Write(append(line, '\n'))
	}
	n.mu.Unlock()
	if err != nil {
		return reply{}, err
	}
	r, ok := <-answer
	if !ok {
		return reply{}, errNodeGone
	}
	return r, nil
}

// ---- installing ----

// nodeHome returns a folder with our scripts and the clients, which are fetched
// once for each lockfile.
func nodeHome(t *testing.T) string {
	t.Helper()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			wanted.Missing(t, wanted.Node, "%s is not on the PATH", program)
		}
	}
	checkNodeVersion(t)
	scripts, err := filepath.Glob(filepath.Join("node", "*.mjs"))
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts in node: %v", err)
	}
	home := t.TempDir()
	for _, script := range scripts {
		copyFile(t, script, filepath.Join(home, filepath.Base(script)))
	}
	if err := os.Symlink(nodeModules(t), filepath.Join(home, "node_modules")); err != nil {
		t.Fatal(err)
	}
	return home
}

func checkNodeVersion(t *testing.T) {
	t.Helper()
	out, err := exec.Command("node", "--version").Output()
	major, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(string(out)), "v"), ".")
	if version, atoi := strconv.Atoi(major); err != nil || atoi != nil || version < oldestNode {
		wanted.Missing(t, wanted.Node, "node is %q (%v), and the clients need %d", out, err, oldestNode)
	}
}

// installing is held by the one test that runs npm, and remembers what npm said
// where there was no registry: it tries for some seconds.
var installing struct {
	sync.Mutex
	offline string
}

func nodeModules(t *testing.T) string {
	t.Helper()
	installing.Lock()
	defer installing.Unlock()
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	lock, err := os.ReadFile(filepath.Join("node", "package-lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(cache, "holdfast-conformance", fmt.Sprintf("%x", sha256.Sum256(lock))[:16])
	if installing.offline != "" {
		wanted.Missing(t, wanted.Node, "%s", installing.offline)
	}
	if _, err := os.Stat(folder); err != nil {
		install(t, folder)
	}
	return filepath.Join(folder, "node_modules")
}

// offline is what npm says where the registry cannot be reached.
var offline = regexp.MustCompile(`ENOTFOUND|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EAI_AGAIN|ENETUNREACH|EHOSTUNREACH|ERR_SOCKET_TIMEOUT`)

// install fetches the clients into a folder that appears when it is complete.
func install(t *testing.T, folder string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(folder), 0o755); err != nil {
		t.Fatal(err)
	}
	building, err := os.MkdirTemp(filepath.Dir(folder), "installing-") //nolint:usetesting // renaming needs the same file system
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(building)
	for _, name := range []string{"package.json", "package-lock.json"} {
		copyFile(t, filepath.Join("node", name), filepath.Join(building, name))
	}
	npm := exec.CommandContext(t.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error",
		"--fetch-retries=1", "--fetch-retry-mintimeout=2000")
	npm.Dir = building
	if out, err := npm.CombinedOutput(); offline.Match(out) && err != nil {
		installing.offline = fmt.Sprintf("npm cannot reach its registry: %.200s", out)
		wanted.Missing(t, wanted.Node, "%s", installing.offline)
	} else if err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	if err := os.Rename(building, folder); err != nil {
		t.Fatal(err)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestTheLockfileNamesNoRegistry: where packages come from is everybody's own
// setting. What they are is fixed by their sums.
func TestTheLockfileNamesNoRegistry(t *testing.T) {
	var lock struct {
		Packages map[string]struct{ Version, Resolved, Integrity string }
	}
	var asked struct{ Dependencies map[string]string }
	for file, into := range map[string]any{"package-lock.json": &lock, "package.json": &asked} {
		text, err := os.ReadFile(filepath.Join("node", file))
		if err == nil {
			err = json.Unmarshal(text, into)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for path, p := range lock.Packages {
		if p.Resolved != "" || p.Integrity == "" && path != "" {
			t.Errorf("%s: resolved %q, integrity %q: npm config omit-lockfile-registry-resolved does it", path, p.Resolved, p.Integrity)
		}
	}
	for name, version := range asked.Dependencies {
		if got := lock.Packages["node_modules/"+name].Version; got != version {
			t.Errorf("%s: package.json says %q, and the lockfile %q", name, version, got)
		}
	}
	if len(lock.Packages) < 20 || len(asked.Dependencies) < 10 {
		t.Errorf("%d packages, %d of them asked for", len(lock.Packages), len(asked.Dependencies))
	}
}
