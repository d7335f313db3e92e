package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/gateway/server"
)

// maxStatus bounds what is read from a gateway, in bytes.
const maxStatus = 16 << 20

func (p *program) status() *cobra.Command {
	admin := "http://127.0.0.1:8081"
	var asJSON bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Show the routes and targets of a running gateway",
		Long: "Ask a running gateway's operator address (admin.listen) how its routes and targets are.\n" +
			"Exit code 3: the gateway cannot be reached.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			raw, err := fetchStatus(c.Context(), admin)
			if err != nil {
				return err
			}
			if asJSON {
				_, err := p.out.Write(raw)
				return err
			}
			var s server.Status
			if err := json.Unmarshal(raw, &s); err != nil {
				return exit{exitFailed, fmt.Errorf("%s does not answer as a gateway does: %w", admin, err)}
			}
			return p.showStatus(s)
		},
	}
	c.Flags().StringVar(&admin, "admin", admin, "the gateway's `address` for operators")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func fetchStatus(ctx context.Context, admin string) ([]byte, error) {
	if !strings.Contains(admin, "://") {
		admin = "http://" + admin
	}
	u, err := url.Parse(admin)
	if err != nil || u.Host == "" {
		return nil, exit{exitUsage, fmt.Errorf("--admin: %q is no address", admin)}
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.JoinPath("/api/v1/status").String(), nil)
	if err != nil {
		return nil, exit{exitUsage, err}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, exit{exitUnreachable, fmt.Errorf("cannot reach a gateway at %s: %w", admin, bareURL(err))}
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxStatus))
	if err != nil {
		return nil, exit{exitUnreachable, err}
	}
	if resp.StatusCode != http.StatusOK {
		return nil, exit{exitFailed, fmt.Errorf("%s answers %s: is this the address for operators?", admin, resp.Status)}
	}
	return raw, nil
}

// bareURL takes the address out of a client's error: the sentence names it.
func bareURL(err error) error {
	if wrapped, ok := err.(*url.Error); ok { //nolint:errorlint // what Do returns is always this
		return wrapped.Err
	}
	return err
}

func (p *program) showStatus(s server.Status) error {
	w := tabwriter.NewWriter(p.out, 0, 4, 2, ' ', 0)
	fmt.Fprintf(w, "holdfast %s, %s, since %s\n", s.Version, readiness(s.Ready), s.Started.Format(time.RFC3339))
	if s.Config.Error != "" {
		fmt.Fprintf(w, "The file %s has a mistake; the one before is in force:\n%s\n", s.Config.File, s.Config.Error)
	}
	fmt.Fprintln(w, "\nROUTE\tRUNNING\tWAITING\tCALLS\tOK\tREFUSED")
	for _, r := range s.Routes {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\n", r.Name, r.Running, r.Waiting, r.Calls, r.OK, r.Refused)
	}
	fmt.Fprintln(w, "\nTARGET\tCIRCUIT\tIN FLIGHT\tRETRY BUDGET\tATTEMPTS\tENDED AS\tKEYS")
	for _, t := range s.Targets {
		fmt.Fprintf(w, "%s\t%s\t%s\t%.0f %%\t%d\t%s\t%s\n", targetName(t), circuit(t), inFlight(t), t.RetryBudget*100, t.Attempts, classes(t), keys(t))
	}
	return w.Flush()
}

func readiness(ready bool) string {
	if ready {
		return "ready"
	}
	return "draining"
}

func targetName(t holdfast.TargetStatus) string {
	if t.Model == "" || strings.HasSuffix(t.Name, "/"+t.Model) {
		return t.Name
	}
	return t.Name + " (" + t.Model + ")"
}

func circuit(t holdfast.TargetStatus) string {
	if wait := time.Until(t.OpenUntil); wait > 0 {
		return fmt.Sprintf("%s for %s", t.Breaker, wait.Round(time.Second))
	}
	return t.Breaker
}

func inFlight(t holdfast.TargetStatus) string {
	if t.Permits == 0 {
		return fmt.Sprint(t.InFlight)
	}
	return fmt.Sprintf("%d of %d", t.InFlight, t.Permits)
}

func classes(t holdfast.TargetStatus) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(t.Classes)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, t.Classes[name]))
	}
	return strings.Join(parts, ", ")
}

// keys names the keys that are not in use, or says that all are.
func keys(t holdfast.TargetStatus) string {
	var out []string
	for _, k := range t.Keys {
		switch now := time.Now(); {
		case k.EjectedUntil.After(now):
			out = append(out, fmt.Sprintf("%s out for %s (%s)", k.Name, k.EjectedUntil.Sub(now).Round(time.Second), k.Reason))
		case k.PausedUntil.After(now):
			out = append(out, fmt.Sprintf("%s paused for %s", k.Name, k.PausedUntil.Sub(now).Round(time.Second)))
		}
	}
	if len(out) == 0 {
		return fmt.Sprintf("%d in use", len(t.Keys))
	}
	return strings.Join(out, ", ")
}
