package soak

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-gateway/holdfast/gateway/internal/docpage"
)

// TestTheReferenceSaysWhatWasMeasured: the tables of the page are those of the
// files beside it.
func TestTheReferenceSaysWhatWasMeasured(t *testing.T) {
	files, err := filepath.Glob("../../docs/reference/soak/*.json")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var r report
		if err := json.Unmarshal(text, &r); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		fmt.Fprintf(&b, "## %s\n\n%s.\n%s UTC, %.0f s, %s.\n\n%s\n", r.Name, r.Title, r.At, r.Seconds, r.Machine, r.table(true))
	}
	docpage.Check(t, "../../docs/reference/soak.md", b.String())
}
