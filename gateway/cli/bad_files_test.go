package cli_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-gateway/holdfast/gateway/cli"
)

func TestEveryBadFileIsToldExactlyAndEndsWithCodeTwo(t *testing.T) {
	t.Chdir("../config")
	t.Setenv("OPENAI_API_KEY", "sk-test-0123456789")
	t.Setenv("EMPTY", "")
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d bad files (%v), want at least 40", len(files), err)
	}
	for _, file := range files {
		want, err := os.ReadFile(strings.TrimSuffix(file, ".yaml") + ".want")
		if err != nil {
			t.Fatal(err)
		}
		for _, command := range [][]string{{"validate", file}, {"serve", "-c", file}} {
			var out, errs strings.Builder
			code := cli.Main(t.Context(), command, &out, &errs, "test")
			if got := strings.TrimPrefix(errs.String(), "holdfast: "); code != 2 || got != string(want) {
				t.Errorf("%v ended with %d and told\n%s\nwant 2 and\n%s", command, code, got, want)
			}
		}
	}
}

func TestGoodFilesCanBeShownWithoutTheirSecrets(t *testing.T) {
	t.Chdir("../config")
	const secret = "sk-test-0123456789"
	t.Setenv("OPENAI_API_KEY", secret)
	t.Setenv("CLAUDE_KEY", secret)
	for _, file := range []string{"testdata/good/smallest.yaml", "testdata/good/anchors.yaml"} {
		var out, errs strings.Builder
		if code := cli.Main(context.Background(), []string{"config", "show", "-c", file}, &out, &errs, "test"); code != 0 {
			t.Errorf("%s: code %d, %s", file, code, &errs)
		}
		if strings.Contains(out.String(), secret) || !strings.Contains(out.String(), "routes.") {
			t.Errorf("%s: shown as\n%s", file, &out)
		}
	}
}
