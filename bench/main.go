// Command bench compares Holdfast with what else can stand between a caller and
// a provider: nothing, nginx, HAProxy, a tuned httputil.ReverseProxy, Portkey.
// README.md says how it measures and how to read it.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"
)

// The children belong to the thread that starts them: see startProcess.
func init() { runtime.LockOSThread() }

func main() {
	if len(os.Args) == 3 && os.Args[1] == "upstream" {
		fmt.Fprintln(os.Stderr, "bench:", runUpstream(os.Args[2]))
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func runUpstream(addr string) error {
	debug.SetGCPercent(400)
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	return serveUpstream(l)
}

// bench is one run.
type bench struct {
	root   string // of the repository
	dir    string // for the files of peers; goes at the end
	bin    string
	only   []string // systems; none: all
	rounds int
	warm   time.Duration
	window time.Duration

	memoryRounds int

	profileSeconds int
	profileFile    string
	binary         string // a gateway that is built already; "" builds one

	up       *process
	upstream string // where it answers
}

func run(ctx context.Context, args []string) error {
	b := &bench{}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&b.root, "root", "..", "the repository")
	quick := flags.Bool("quick", false, "Holdfast and the tuned ReverseProxy alone, CPU per request and per event, about a minute")
	only := flags.String("only", "", "these systems, with commas between; default all: "+strings.Join(names(), ","))
	flags.IntVar(&b.rounds, "rounds", 0, "rounds; 0: 9, or 5 with -quick")
	flags.IntVar(&b.memoryRounds, "memory-rounds", 3, "rounds in which memory is measured too")
	flags.DurationVar(&b.window, "time", 0, "how long each phase counts; 0: 1.2s, or 2s with -quick")
	flags.DurationVar(&b.warm, "warm", 300*time.Millisecond, "how long each phase runs before it counts")
	flags.IntVar(&b.profileSeconds, "cpuprofile", 0, "profile Holdfast for so many seconds, in the closed loop and with live streams, and its heap, and do nothing else")
	flags.StringVar(&b.profileFile, "profiles", "holdfast", "how the names of profiles begin: NAME-requests.prof, NAME-events.prof, NAME-memory.prof")
	flags.StringVar(&b.binary, "binary", "", "a holdfast that is built already, measured in place of the working tree")
	out := flags.String("out", "", "the folder for benchmarks.md and its data; none: print a summary only")
	page := flags.String("page", "", "measure nothing: write the page again from the data in this folder")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *page != "" {
		return rewrite(*page)
	}
	if *only != "" {
		b.only = strings.Split(*only, ",")
	}
	debug.SetGCPercent(400)
	openFiles() // children inherit the limit
	defer b.clean()
	if err := b.prepare(); err != nil {
		return err
	}
	switch {
	case b.profileSeconds > 0:
		return b.profile(ctx)
	case *quick:
		b.rounds = cmp.Or(b.rounds, 5)
		b.window = cmp.Or(b.window, 2*time.Second)
		return b.quick(ctx)
	}
	b.rounds = cmp.Or(b.rounds, 9)
	b.window = cmp.Or(b.window, 1200*time.Millisecond)
	found, err := b.full(ctx)
	if err != nil {
		return err
	}
	b.say("%s", summary(found))
	if *out == "" {
		return nil
	}
	return write(*out, found)
}

func names() []string {
	var all []string
	for _, p := range peers() {
		all = append(all, p.name)
	}
	return all
}

// prepare builds the binaries and starts the upstream.
func (b *bench) prepare() error {
	var err error
	if b.dir, err = os.MkdirTemp("", "holdfast-bench-"); err != nil {
		return err
	}
	b.bin = filepath.Join(b.dir, "bin")
	b.say("building")
	if err := b.build(reverseProxy, "bench", "./reverseproxy"); err != nil {
		return err
	}
	if b.binary != "" {
		if b.binary, err = filepath.Abs(b.binary); err == nil {
			err = os.Symlink(b.binary, filepath.Join(b.bin, holdfast))
		}
	} else {
		err = b.build(holdfast, "gateway", "./cmd/holdfast")
	}
	if err != nil {
		return err
	}
	return b.startUpstream()
}

// build makes a binary as `make build` does.
func (b *bench) build(binary, module, source string) error {
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", filepath.Join(b.bin, binary), source)
	build.Dir = filepath.Join(b.root, module)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", binary, err, out)
	}
	return nil
}

func (b *bench) startUpstream() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	b.upstream = freeAddr()
	if b.up, err = startProcess(exec.Command(self, "upstream", b.upstream), filepath.Join(b.dir, "upstream.log")); err != nil {
		return err
	}
	answers := running{subject: subject{addr: b.upstream, process: b.up}}
	return answers.awaitAnswer(time.Now().Add(10 * time.Second))
}

// clean ends what runs and removes the folder.
func (b *bench) clean() {
	b.up.stop()
	_ = os.RemoveAll(b.dir)
}

// startAll starts the peers of these names.
func (b *bench) startAll(names []string) (map[string]*running, error) {
	started := map[string]*running{}
	for _, p := range peers() {
		for _, name := range names {
			if p.name != name {
				continue
			}
			r, err := p.start(b.dir, b.bin, b.upstream, b.profileSeconds > 0)
			if err != nil {
				stopAll(started)
				return nil, err
			}
			started[name] = r
		}
	}
	return started, nil
}

func stopAll(started map[string]*running) {
	for _, r := range started {
		r.process.stop()
	}
}

// say tells whoever waits what happens.
func (b *bench) say(format string, args ...any) { fmt.Printf(format+"\n", args...) }
