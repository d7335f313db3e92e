package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/gateway/admin"
)

func limitsOf(status admin.Status) section {
	cells, bad := [][]string{{"LIMIT", "ALLOWS", "ADMITTED", "REFUSED", "KEYS", "BLOCKED"}}, []bool{}
	for _, l := range status.Limits {
		refused := fmt.Sprint(l.Counts.Refused + l.Full)
		if l.Shadow {
			refused = fmt.Sprintf("%d would be", l.Counts.Would+l.Full)
		}
		cells = append(cells, []string{clip(whose(l), 32), allowance(l), fmt.Sprint(l.Counts.Admitted), refused, fmt.Sprint(l.Counts.Keys), fmt.Sprint(l.Counts.Blocked)})
		bad = append(bad, l.Counts.Blocked > 0 && !l.Shadow)
	}
	return section{table(bad, cells), 2}
}

// whose names a limit and the one that it is for.
func whose(l holdfast.LimitStatus) string {
	if l.Of == "" {
		return l.Name
	}
	return l.Name + " " + l.Of
}

// allowance is what a limit allows.
func allowance(l holdfast.LimitStatus) string {
	var parts []string
	if l.Points > 0 {
		parts = append(parts, fmt.Sprintf("%d %s in %s", l.Points, l.Unit, time.Duration(l.Seconds*float64(time.Second))))
	}
	if l.Concurrency > 0 {
		parts = append(parts, fmt.Sprintf("%d at once (%d now)", l.Concurrency, l.Running))
	}
	return strings.Join(parts, ", ")
}

func budgetsOf(status admin.Status) section {
	cells, bad := [][]string{{"BUDGET OF THE DAY", "USD", "TOKENS", "REFUSED"}}, []bool{}
	for _, b := range status.Budgets {
		usd, tokens := fmt.Sprintf("%.4g", b.USD+b.USDHeld), fmt.Sprint(b.Tokens+b.TokensHeld)
		if b.USDPerDay > 0 {
			usd += fmt.Sprintf(" of %.4g", b.USDPerDay)
		}
		if b.TokensPerDay > 0 {
			tokens += fmt.Sprintf(" of %d", b.TokensPerDay)
		}
		cells = append(cells, []string{clip(b.Name, 32), usd, tokens, fmt.Sprint(b.Refused)})
		bad = append(bad, b.USDPerDay > 0 && b.USD >= b.USDPerDay || b.TokensPerDay > 0 && b.Tokens >= b.TokensPerDay)
	}
	return section{table(bad, cells), 2}
}
