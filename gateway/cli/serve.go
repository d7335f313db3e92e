package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/lmittmann/tint"
	"github.com/spf13/cobra"

	"github.com/holdfast-gateway/holdfast/gateway/config"
	"github.com/holdfast-gateway/holdfast/gateway/server"
	"github.com/holdfast-gateway/holdfast/gateway/telemetry"
)

const defaultFile = "holdfast.yaml"

func (p *program) serve() *cobra.Command {
	var path, listen, adminListen string
	var drain, delay time.Duration
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the gateway",
		Long: "Run the gateway until SIGTERM or an interrupt. Then /readyz says 503; new calls are accepted for the drain\n" +
			"delay (not after an interrupt), and answers under way may end. What is left after the drain time is told\n" +
			"so in its dialect; a second signal ends it at once. A changed file is read again by itself, and on SIGHUP;\n" +
			"a file with a mistake changes nothing. Logs go to standard output: JSON, or text where that is a terminal.",
		Example: "  holdfast serve -c holdfast.yaml",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			file, err := config.Load(path)
			if err != nil {
				return exit{exitUsage, explainMissing(err, path, c.Flags().Changed("config"))}
			}
			if listen != "" {
				file.Listen = listen
			}
			if adminListen != "" {
				file.Admin.Listen = adminListen
			}
			if err := file.CheckListen(); err != nil {
				return exit{exitUsage, err}
			}
			return p.run(c.Context(), file, drain, delay)
		},
	}
	c.Flags().StringVarP(&path, "config", "c", defaultFile, "the configuration `file`")
	c.Flags().StringVar(&listen, "listen", "", "`address` for callers, instead of the file's")
	c.Flags().StringVar(&adminListen, "admin-listen", "", "`address` for operators, instead of the file's")
	c.Flags().DurationVar(&delay, "drain-delay", 5*time.Second, "how long calls are still accepted after SIGTERM, while /readyz already says 503; not part of --drain")
	c.Flags().DurationVar(&drain, "drain", 10*time.Minute, "how long answers under way may take after the end was asked for")
	return c
}

// explainMissing says what to do about a file that is not there because nobody
// named one.
func explainMissing(err error, path string, named bool) error {
	if _, statErr := os.Stat(path); named || !errors.Is(statErr, os.ErrNotExist) {
		return err
	}
	return fmt.Errorf("no %s here; name the configuration with -c FILE", path)
}

// run serves until a signal says otherwise.
func (p *program) run(ctx context.Context, file *config.File, drain, delay time.Duration) error {
	paceCollector()
	level := &slog.LevelVar{}
	level.Set(file.LogLevel())
	queue := telemetry.NewQueue()
	log := slog.New(queue.Handler(logHandler(queue.Gather(p.out), isTerminal(p.out), file.Logs.Format, level)))
	defer closeQueue(queue)

	s, err := server.New(file, server.Options{Drain: drain, Delay: delay, Log: log, Level: level, Dropped: queue.Dropped, Version: p.version, History: keeper(file.Path())})
	if err != nil {
		return exit{exitUsage, err}
	}
	if err := s.Start(); err != nil {
		return exit{exitFailed, err}
	}
	log.Info("serving", "version", p.version, "callers", "http://"+s.Addr(), "operators", "http://"+s.AdminAddr(), "file", file.Path())

	ctx, now, stop := signals(ctx, func() { _ = s.Reload() }) // logged there
	defer stop()
	err = s.Run(ctx, now)
	if err != nil {
		log.Error("ended", "error", err.Error())
	} else {
		log.Info("ended")
	}
	return ended(err, now)
}

// keeper keeps the versions of a file that are put in force.
func keeper(path string) func([]byte, time.Time) error {
	return func(text []byte, at time.Time) error {
		h, err := config.HistoryOf(path)
		if err != nil {
			return err
		}
		return h.Keep(text, at)
	}
}

// ended words how serving ended: cut by a second signal, or by the end of the
// drain time or a listener's failure.
func ended(err error, now <-chan struct{}) error {
	if err == nil {
		return nil
	}
	select {
	case <-now:
		return exit{exitInterrupted, err}
	default:
		return exit{exitFailed, err}
	}
}

func closeQueue(q *telemetry.Queue) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = q.Close(ctx) // a log that nobody reads must not hold the process
}

// signals watches for the signals of a long-running command: the first SIGTERM
// or interrupt ends the context, the second closes now, SIGHUP calls reload.
// stop ends the watching; nothing is called after it returned.
func signals(parent context.Context, reload func()) (ctx context.Context, now <-chan struct{}, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	caught := make(chan os.Signal, 4)
	signal.Notify(caught, syscall.SIGTERM, os.Interrupt, syscall.SIGHUP)
	atOnce, quit, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for ends := 0; ; {
			select {
			case <-quit:
				return
			case s := <-caught:
				if s == syscall.SIGHUP {
					reload()
					continue
				}
				if ends++; ends == 2 {
					close(atOnce)
				}
				if s == os.Interrupt { // somebody at a terminal, whom no load balancer knows
					cancel(server.ErrPromptly)
				}
				cancel(nil)
			}
		}
	}()
	return ctx, atOnce, func() {
		signal.Stop(caught)
		close(quit)
		<-done
		cancel(nil)
	}
}

// logHandler writes JSON for machines and coloured text for people. NO_COLOR
// takes the colours away.
func logHandler(out io.Writer, terminal bool, format string, level slog.Leveler) slog.Handler {
	if format == "json" || format != "text" && !terminal {
		return slog.NewJSONHandler(out, &slog.HandlerOptions{Level: level})
	}
	return tint.NewHandler(out, &tint.Options{
		Level: level, TimeFormat: "15:04:05.000",
		NoColor: !terminal || os.Getenv("NO_COLOR") != "",
	})
}
