package cli

import (
	"bytes"
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
