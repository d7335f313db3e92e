package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"text/template"
	"time"
)

//go:embed peers
var templates embed.FS

// clientKey is what callers of Holdfast show; its digest stands in the file.
const clientKey = "hf-bench-0123456789abcdef0123456789abcdef"

// A peer is one of the systems that are compared.
type peer struct {
	name    string
	headers []string // further lines that its callers send
	// command makes what starts it; nil for no proxy at all.
	command func(s settings) (*exec.Cmd, error)
	install func(ctx context.Context) error // makes sure it is here; nil: we built it
	program func(bin string) string         // the file or folder that is its size

	compiles bool // while it runs, so that it needs requests before it is itself
}

// settings are what the templates of peers say.
type settings struct {
	Listen, Upstream, Admin string
	Dir                     string // for its files
	Bin                     string // where binaries are built
	Profile                 bool
	Files, Threads          int
	HAProxyConns            int
	KeyDigest               string
}

const (
	direct       = "direct"
	nginx        = "nginx"
	haproxy      = "haproxy"
	portkey      = "portkey"
	holdfast     = "holdfast"
	reverseProxy = "reverseproxy"
)

// peers are all systems, in the order of the page.
func peers() []peer {
	return []peer{
		{name: direct},
		{name: nginx, command: startNginx, install: installDebian(nginx, "nginx-light"), program: found(nginx)},
		{name: haproxy, command: startHAProxy, install: installDebian(haproxy, haproxy), program: found(haproxy)},
		{name: reverseProxy, command: startReverseProxy, program: built(reverseProxy)},
		{name: portkey, command: startPortkey, install: installPortkey, program: portkeyFolder, compiles: true},
		{name: holdfast, command: startHoldfast, program: built(holdfast), headers: []string{"Authorization: Bearer " + clientKey}},
	}
}

// startPortkey runs it without its web page. Its callers name the provider in
// headers: see headersFor.
func startPortkey(s settings) (*exec.Cmd, error) {
	home, err := portkeyHome()
	_, port, _ := net.SplitHostPort(s.Listen)
	cmd := exec.Command("node", filepath.Join(home, portkeyStart), "--port="+port, "--headless")
	cmd.Env = append(os.Environ(), "NODE_ENV=production")
	return cmd, err
}

// headersFor are the lines that its callers send: Portkey is told in them where
// to go.
func (p peer) headersFor(upstream string) []string {
	if p.name != portkey {
		return p.headers
	}
	return []string{"x-portkey-provider: openai", "x-portkey-custom-host: http://" + upstream + "/v1", "Authorization: Bearer sk-bench"}
}

func portkeyFolder(string) string {
	home, _ := portkeyHome()
	return filepath.Join(home, "node_modules")
}

func startReverseProxy(s settings) (*exec.Cmd, error) {
	return exec.Command(filepath.Join(s.Bin, reverseProxy), s.Listen, "http://"+s.Upstream), nil
}

func startHoldfast(s settings) (*exec.Cmd, error) {
	file, err := s.write("holdfast.yaml")
	return exec.Command(filepath.Join(s.Bin, holdfast), "serve", "-c", file), err
}

func startNginx(s settings) (*exec.Cmd, error) {
	file, err := s.write("nginx.conf")
	return exec.Command(nginx, "-e", filepath.Join(s.Dir, "nginx-error.log"), "-c", file), err
}

func startHAProxy(s settings) (*exec.Cmd, error) {
	file, err := s.write("haproxy.cfg")
	return exec.Command(haproxy, "-db", "-f", file), err
}

// write fills in the template of this name and returns the file's path.
func (s settings) write(name string) (string, error) {
	t, err := template.ParseFS(templates, "peers/"+name)
	if err != nil {
		return "", err
	}
	var text bytes.Buffer
	if err := t.Execute(&text, s); err != nil {
		return "", err
	}
	file := filepath.Join(s.Dir, name)
	return file, os.WriteFile(file, text.Bytes(), 0o600)
}

// running is a peer that answers.
type running struct {
	subject
	peer      peer
	admin     string
	coldStart time.Duration // from its start to its first answer
}

// start runs a peer on free ports and waits until it answers. Its files are in
// a folder of its own below dir.
func (p peer) start(dir, bin, upstream string, profile bool) (*running, error) {
	if p.command == nil {
		return &running{peer: p, subject: subject{addr: upstream}}, nil
	}
	dir, err := os.MkdirTemp(dir, p.name+"-")
	if err != nil {
		return nil, err
	}
	files := openFiles()
	digest := sha256.Sum256([]byte(clientKey))
	s := settings{
		Listen: freeAddr(), Admin: freeAddr(), Upstream: upstream, Dir: dir, Bin: bin, Profile: profile,
		Files: files - 100, HAProxyConns: (files - 500) / 2, Threads: runtime.NumCPU(), KeyDigest: hex.EncodeToString(digest[:]),
	}
	cmd, err := p.command(s)
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	process, err := startProcess(cmd, filepath.Join(dir, "output.log"))
	if err != nil {
		return nil, err
	}
	r := &running{peer: p, admin: s.Admin, subject: subject{addr: s.Listen, headers: p.headersFor(upstream), process: process}}
	if err := r.awaitAnswer(begin.Add(20 * time.Second)); err != nil {
		process.stop()
		return nil, fmt.Errorf("%s does not answer (its output: %s): %w", p.name, filepath.Join(dir, "output.log"), err)
	}
	r.coldStart = time.Since(begin)
	return r, nil
}

// awaitAnswer asks until there is a good answer.
func (r *running) awaitAnswer(until time.Time) error {
	request := chatRequest(r.addr, r.headers, nil)
	for {
		err := ask(r.addr, request)
		switch {
		case err == nil:
			return nil
		case r.process.exited():
			return errors.Join(errors.New("it has ended"), err)
		case time.Now().After(until):
			return err
		}
		time.Sleep(time.Millisecond)
	}
}

// ask makes one call on a connection of its own.
func ask(addr string, request []byte) error {
	c, err := dial(addr)
	if err != nil {
		return err
	}
	defer c.close()
	_ = c.conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := c.conn.Write(request); err != nil {
		return err
	}
	return c.whole()
}

// openFiles is how many files a process may have open here; children inherit it.
func openFiles() int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 1024
	}
	limit.Cur = min(limit.Max, 65_536)
	// Set, not only raised by the runtime: that one hands the old limit down.
	if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 1024
	}
	return int(limit.Cur)
}

// freeAddr is a loopback address that nobody listens on just now.
func freeAddr() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err) // a machine without loopback measures nothing
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
