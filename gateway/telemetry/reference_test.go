package telemetry_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/holdfast-gateway/holdfast/gateway/internal/docpage"
	"github.com/holdfast-gateway/holdfast/gateway/telemetry"
)

func TestTheReferenceNamesEveryMetric(t *testing.T) {
	var b strings.Builder
	b.WriteString("| Metric | Kind | Labels | What it says |\n| --- | --- | --- | --- |\n")
	for _, f := range telemetry.NewMetrics(telemetry.Sources{}).Families() {
		labels := "-"
		if len(f.Labels) > 0 {
			labels = "`" + strings.Join(f.Labels, "`, `") + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.Name, f.Kind, labels, f.Help)
	}
	docpage.Check(t, "../../docs/reference/metrics.md", b.String())
}
