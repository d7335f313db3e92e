package cli

import (
	"bytes"
	"context"
	"strings"
	"testing"
)

func TestTheDemoRefusesFlagsOutOfBounds(t *testing.T) {
	for _, args := range [][]string{{"--rate", "9"}, {"--rate", "51"}, {"--rate", "0"}, {"--outage", "5s"}, {"--outage", "25s"}, {"--outage", "0s"}, {"--log", t.TempDir()}, {"--no-such"}} {
		var out, errs bytes.Buffer
		if got := Main(t.Context(), append([]string{"demo"}, args...), &out, &errs, "test"); got != exitUsage {
			t.Errorf("%q: exit code %d, want %d", args, got, exitUsage)
		}
		if !strings.HasPrefix(errs.String(), "holdfast: ") || out.Len() > 0 {
			t.Errorf("%q: printed %q and %q, want a sentence on standard error", args, out.String(), errs.String())
		}
	}
}

func TestTheStormIsASubcommandOfTheDemoThatExplainsItself(t *testing.T) {
	var out, errs bytes.Buffer
	if got := Main(t.Context(), []string{"demo", "storm", "--help"}, &out, &errs, "test"); got != 0 {
		t.Errorf("exit code %d: %s", got, errs.String())
	}
	for _, want := range []string{"holdfast demo storm [flags]", "--json", "--seed", "Exit code 0"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in the help:\n%s", want, out.String())
		}
	}
	for _, args := range [][]string{{"--no-such"}, {"--seed", "-1"}, {"extra"}} {
		out.Reset()
		errs.Reset()
		if got := Main(t.Context(), append([]string{"demo", "storm"}, args...), &out, &errs, "test"); got != exitUsage || !strings.HasPrefix(errs.String(), "holdfast: ") {
			t.Errorf("%q: exit code %d, %q", args, got, errs.String())
		}
	}
}

func TestAnInterruptedDemoEndsWith130(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs bytes.Buffer
	if got := Main(ctx, []string{"demo", "storm"}, &out, &errs, "test"); got != exitInterrupted {
		t.Errorf("exit code %d, want %d: %s", got, exitInterrupted, errs.String())
	}
}
