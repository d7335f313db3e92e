package conformance

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-gateway/holdfast/fault"
)

// page is the table of the reference: by surface, by fault, not streamed and
// streamed.
type page map[string]map[string][2]string

// title is the heading of a surface.
func (s surface) title() string {
	titles := map[string]string{
		"agents": "@openai/agents", "anthropic": "@anthropic-ai/sdk", "genai": "@google/genai", "langchain": "@langchain/openai",
		"ai chat": "ai with @ai-sdk/openai", "ai response": "ai with @ai-sdk/openai", "ai message": "ai with @ai-sdk/anthropic",
		"langchain message": "@langchain/anthropic", "python-httpx": "as openai-python, over httpx", "python-stdlib": "as openai-python, over http.client",
	}
	flows := map[string]string{
		"chat": "Chat Completions", "response": "Responses", "message": "Messages", "helper": "Messages by `.stream()`", "content": "Gemini, passed on",
	}
	name := titles[s.client+" "+s.flow]
	if name == "" {
		name = titles[s.client]
	}
	if name == "" {
		name = s.client
	}
	return name + ": " + flows[s.flow]
}

func (p page) put(one *trial) {
	cells := p[one.title()][one.fault]
	cells[column(one)] = one.said() + one.waited()
	p.set(one.title(), one.fault, cells)
}

func (p page) set(title, name string, cells [2]string) {
	if p[title] == nil {
		p[title] = map[string][2]string{}
	}
	p[title][name] = cells
}

func column(one *trial) int {
	if one.stream {
		return 1
	}
	return 0
}

func (p page) cell(one *trial) string { return p[one.title()][one.fault][column(one)] }

// short leaves out the calls that the page knows as long.
func (p page) short(trials []*trial) []*trial {
	return slices.DeleteFunc(trials, func(one *trial) bool {
		cell := p.cell(one)
		return strings.Contains(cell, afterLong) || strings.HasPrefix(cell, "no answer in time")
	})
}

// withoutWaiting is a cell without how long it took, which is the machine's.
func withoutWaiting(cell string) string {
	before, _, _ := strings.Cut(cell, afterLong)
	return before
}

const beginGenerated, endGenerated = "<!-- generated: begin -->\n", "<!-- generated: end -->\n"

// readPage reads the tables back.
func readPage(t *testing.T) page {
	t.Helper()
	text, err := os.ReadFile(clientsPage)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), beginGenerated)
	tables, _, _ := strings.Cut(rest, endGenerated)
	p, title := page{}, ""
	for line := range strings.Lines(tables) {
		line = strings.TrimSpace(line)
		if heading, ok := strings.CutPrefix(line, "### "); ok {
			title = heading
		}
		if cells := cellsOf(line); len(cells) == 3 && strings.HasPrefix(cells[0], "`") {
			if cells[2] == sameCell {
				cells[2] = cells[1]
			}
			p.set(title, strings.Trim(cells[0], "`"), [2]string{cells[1], cells[2]})
		}
	}
	return p
}

var betweenCells = regexp.MustCompile(`(^| )\|( |$)`)

// cellsOf are the cells of a table's row. A bar inside a cell is escaped.
func cellsOf(line string) []string {
	cells := betweenCells.Split(line, -1)
	if len(cells) < 3 {
		return nil
	}
	return cells[1 : len(cells)-1]
}

// The cells of what is not asked for, and of a stream that ends as
// an answer does that is not streamed.
const noCell, sameCell = "-", "the same"

// write puts the tables into the page.
func (p page) write(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile(clientsPage)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, opened := strings.Cut(string(text), beginGenerated)
	_, foot, closed := strings.Cut(rest, endGenerated)
	if !opened || !closed {
		t.Fatalf("%s: no lines %q and %q", clientsPage, beginGenerated, endGenerated)
	}
	content := head + beginGenerated + "\n" + versions(t) + p.digest() + p.tables() + endGenerated + foot
	if err := os.WriteFile(clientsPage, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

var (
	countsIn = regexp.MustCompile(`; ([0-9-]+(?: or more)? requests?, [0-9-]+(?: or more)? attempts?)`)
	classIn  = regexp.MustCompile("\\*\\*(`[^`]+`)\\*\\*")
)

// digest is what most readers want to know of each client.
func (p page) digest() string {
	var b strings.Builder
	b.WriteString("### In short\n\n| Client | A dead provider (`503`) | Out of money (`429-quota`) | A stream that breaks (`cut-after-40`) |\n")
	b.WriteString("| --- | --- | --- | --- |\n")
	for _, title := range slices.Sorted(maps.Keys(p)) {
		rows := p[title]
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", title,
			inside(countsIn, rows["503"][1]), inside(countsIn, rows["429-quota"][1]), inside(classIn, rows["cut-after-40"][1]))
	}
	return b.String() + "\n"
}

func inside(part *regexp.Regexp, cell string) string {
	if match := part.FindStringSubmatch(cell); match != nil {
		return match[1]
	}
	return "-"
}

func (p page) tables() string {
	var b strings.Builder
	b.WriteString("| Fault | What the provider does |\n| --- | --- |\n")
	for _, info := range fault.List() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", info.Name, info.Does)
	}
	b.WriteString("\n")
	for _, title := range slices.Sorted(maps.Keys(p)) {
		fmt.Fprintf(&b, "### %s\n\n| Fault | Not streamed | Streamed |\n| --- | --- | --- |\n", title)
		for _, name := range shownFaults() {
			cells := p[title][name]
			for i := range cells {
				if cells[i] == "" {
					cells[i] = noCell
				}
			}
			if cells[0] == cells[1] && cells[0] != noCell {
				cells[1] = sameCell
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", name, cells[0], cells[1])
		}
		b.WriteString("\n")
	}
	return b.String()
}

// versions are those of the clients, from where they are pinned.
func versions(t *testing.T) string {
	t.Helper()
	var asked struct{ Dependencies map[string]string }
	text, err := os.ReadFile("node/package.json")
	if err == nil {
		err = json.Unmarshal(text, &asked)
	}
	module, errModule := os.ReadFile("go.mod")
	if err != nil || errModule != nil {
		t.Fatal(err, errModule)
	}
	for _, match := range regexp.MustCompile(`github\.com/(?:openai|anthropics)/(openai-go|anthropic-sdk-go)(?:/v\d+)? v(\S+)`).FindAllStringSubmatch(string(module), -1) {
		asked.Dependencies[match[1]] = match[2]
	}
	var b strings.Builder
	b.WriteString("| Client | Version |\n| --- | --- |\n")
	for _, name := range slices.Sorted(maps.Keys(asked.Dependencies)) {
		if name != "zod" && name != "@langchain/core" {
			fmt.Fprintf(&b, "| `%s` | %s |\n", name, asked.Dependencies[name])
		}
	}
	return b.String() + "\n"
}

// TestThePageOfClientsShowsWhatThereIs: every surface and fault has its row, and
// the versions are those that are tested.
func TestThePageOfClientsShowsWhatThereIs(t *testing.T) {
	text, err := os.ReadFile(clientsPage)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), versions(t)) {
		t.Errorf("%s has other versions; `make conformance` writes it. Want\n%s", clientsPage, versions(t))
	}
	p := readPage(t)
	for _, one := range newTrials(shownFaults()) {
		if p.cell(one) == "" {
			t.Errorf("%s: nothing about %s, stream=%t", one.title(), one.fault, one.stream)
		}
	}
	if len(p) != len(surfaces) {
		t.Errorf("%d tables, want %d", len(p), len(surfaces))
	}
}
