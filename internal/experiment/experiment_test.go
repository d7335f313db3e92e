package experiment

import (
	"strings"
	"testing"

	"github.com/holdfast-gateway/holdfast/internal/plot"
)

var found = Result{
	Name: "storm", Seeds: 20, Note: "The mean", Columns: []string{"Callers", "Answered"}, Rows: [][]string{{"all", "3 %"}},
	Lines: &plot.Lines{Title: "A storm"},
}

func TestAPageIsFilledInItsPlacesAndNowhereElse(t *testing.T) {
	const page = "# Page\n\n<!-- experiment: storm -->\nold\n<!-- end -->\n\ntext\n"
	filled, problems := fill(page, map[string]Result{"storm": found})
	if len(problems) > 0 {
		t.Errorf("problems %q with a page that has none", problems)
	}
	for _, want := range []string{"# Page\n\n<!-- experiment: storm -->\n", "\n![A storm](experiments/storm.svg)\n", "| Callers | Answered |\n| --- | --- |\n| all | 3 % |\n", "\n20 seeds. The mean. ", "<!-- end -->\n\ntext\n"} {
		if !strings.Contains(filled, want) {
			t.Errorf("no %q in\n%s", want, filled)
		}
	}
	if strings.Contains(filled, "old") {
		t.Error("what stood there before is still there")
	}
	if again, _ := fill(filled, map[string]Result{"storm": found}); again != filled {
		t.Error("a page that is filled changes when it is filled again")
	}
}

func TestAPlaceWithoutDataIsReportedAndLeftAlone(t *testing.T) {
	const page = "<!-- experiment: calm -->\nold\n<!-- end -->\n"
	filled, problems := fill(page, map[string]Result{"storm": found})
	if filled != page || len(problems) != 1 || !strings.Contains(problems[0], "calm") {
		t.Errorf("got %q and the problems %q", filled, problems)
	}
}

func TestTheEnvironmentSaysHowManySeeds(t *testing.T) {
	t.Setenv("HOLDFAST_SEEDS", "")
	if n, full := Seeds(t, 3); n != 3 || full {
		t.Errorf("%d seeds, in full: %t; want 3 and short", n, full)
	}
	t.Setenv("HOLDFAST_SEEDS", "20")
	if n, full := Seeds(t, 3); n != 20 || !full {
		t.Errorf("%d seeds, in full: %t; want 20 and in full", n, full)
	}
}

func TestNothingIsWrittenUnlessAskedFor(t *testing.T) {
	t.Setenv("HOLDFAST_WRITE_DOCS", "")
	Result{Name: "never-written", Lines: &plot.Lines{}}.Save(t)
	if _, there := load(t, docs(t)+"/"+folder)["never-written"]; there {
		t.Error("it was written")
	}
}
