package cli

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/gateway/explain"
)

func (p *program) explain() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "explain ID",
		Short: "Tell what happened to one call",
		Long: "Ask a running gateway what happened to a call: which targets it asked with which key, how each attempt\n" +
			"ended, why it waited, moved on or stopped, and which targets it passed over. ID is the answer's header\n" +
			"x-holdfast-request-id. The last 10,000 calls are remembered. Exit code 1: that call is not." + aboutOperators,
		Example: "  holdfast explain hf_R7K2PX5LQN4B6T3M2YAVZC5DEF",
		Args:    cobra.ExactArgs(1),
	}
	o := askedBy(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.RunE = func(c *cobra.Command, args []string) error {
		raw, err := o.get(c.Context(), "/api/v1/requests/"+url.PathEscape(args[0]))
		var r *refusal
		if errors.As(err, &r) && r.Status == http.StatusNotFound {
			return exit{exitFailed, fmt.Errorf("%q is not remembered at %s: it is older than the last calls, was answered by another gateway, or never was", args[0], o.address)}
		}
		if err != nil {
			return err
		}
		return answer(p, o, raw, asJSON, func(s explain.Story) error { return tell(p.out, s) })
	}
	return c
}

// tell writes the history of a call as people read it.
func tell(w io.Writer, s explain.Story) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s  %s %s\n", s.ID, s.At.Format("2006-01-02 15:04:05"), s.Method, s.Path)
	fmt.Fprintln(&b, asked(s))
	fmt.Fprintln(&b, answered(s))
	fmt.Fprintln(&b)
	if s.QueueMS > 0 {
		fmt.Fprintf(&b, "  queued %s%s\n", span(s.QueueMS), waitedFor(s.QueuedFor))
	}
	for _, l := range s.Limits {
		fmt.Fprintf(&b, "  %s\n", limitedBy(l))
	}
	passed := s.PassedOver
	for _, a := range s.Attempts {
		passed = over(&b, passed, a.Number-1)
		attempt(&b, a)
	}
	over(&b, passed, int(^uint(0)>>1))
	if s.Left > 0 {
		fmt.Fprintf(&b, "  and %d more that were not kept\n", s.Left)
	}
	if line := inShort(s); line != "" {
		fmt.Fprintf(&b, "\nin short: %s\n", line)
	}
	_, err := io.WriteString(w, printable(b.String()))
	return err
}

// asked says what the caller wanted.
func asked(s explain.Story) string {
	r := s.Request
	words := []string{named("route", s.Route), named("tenant", s.Tenant), named("dialect", s.Dialect), named("model", s.Model)}
	if s.Stream {
		words = append(words, "streamed")
	}
	if r.Bytes > 0 {
		words = append(words, size(int64(r.Bytes)))
	} else if !r.Replayable && s.Method == http.MethodPost {
		words = append(words, "body passed on as it came: one attempt")
	}
	if r.Stays {
		words = append(words, "stays at one target")
	}
	if s.CacheWhy != "" {
		words = append(words, "not for the cache ("+s.CacheWhy+")")
	}
	if r.Retry != "" {
		words = append(words, "the client is retrying ("+r.Retry+"): one attempt")
	} else if r.OneAttempt {
		words = append(words, "one attempt")
	}
	if r.CommitMS > 0 {
		words = append(words, "first word within "+span(r.CommitMS))
	}
	return listed(", ", words...)
}

func named(what, name string) string {
	if name == "" {
		return ""
	}
	return what + " " + name
}

// answered says what the caller got.
func answered(s explain.Story) string {
	attempts := counted(s.Made, "attempt")
	own := fmt.Sprintf("%s of it Holdfast's own", span(s.OwnMS))
	switch {
	case s.Running:
		return fmt.Sprintf("still running after %s and %s that ended", span(s.DurationMS), attempts)
	case s.Class == "canceled":
		return fmt.Sprintf("the caller left after %s and %s", span(s.DurationMS), attempts)
	case s.Source == "gateway":
		return listed(", ", fmt.Sprintf("refused %s %s by Holdfast after %s and %s", status(s), listed(" ", s.Reason), span(s.DurationMS), attempts), own)
	}
	if from := remembered(s.Cache); from != "" {
		return listed(", ", fmt.Sprintf("answered %s %s %s in %s after %s", status(s), s.Class, from, span(s.DurationMS), attempts), s.Reason, own)
	}
	words := fmt.Sprintf("answered %s %s by %s in %s after %s", status(s), s.Class, s.Target, span(s.DurationMS), attempts)
	if s.Answered != "" {
		words += ", as model " + s.Answered
	}
	return listed(", ", words, s.Reason, own)
}

// remembered says where an answer comes from that was made for another call.
func remembered(cache string) string {
	return map[string]string{"hit": "from the cache", "stale": "from the cache, in place of an error", "shared": "with that of the same call under way"}[cache]
}

// status is what the caller saw, and what it stands for.
func status(s explain.Story) string {
	if s.Original == 0 {
		return strconv.Itoa(s.Status)
	}
	return fmt.Sprintf("%d (terminal_status, instead of %d)", s.Status, s.Original)
}

// over writes the targets passed over before an attempt, and returns the rest.
func over(b *strings.Builder, passed []explain.PassedOver, attempts int) []explain.PassedOver {
	for len(passed) > 0 && passed[0].After <= attempts {
		p := passed[0]
		passed = passed[1:]
		line := fmt.Sprintf("  passed over %s: %s", p.Target, whyPassed(p.Reason))
		if p.WaitMS > 0 {
			line += " for " + span(p.WaitMS) + " more"
		}
		fmt.Fprintln(b, line)
	}
	return passed
}

// waitedFor words what a call in the waiting room lacked.
func waitedFor(what string) string {
	switch what {
	case "permit":
		return ", until a target had a permit free"
	case "quota":
		return ", until a provider's limit had room for it"
	}
	return ""
}

// whyPassed words the reasons for passing a target over.
func whyPassed(reason string) string {
	words := map[string]string{
		"circuit_open": "its circuit is open", "ramping": "it is recovering and takes only a share", "busy": "it has no permit free", "quota": "the provider's limit leaves no room for it yet",
		"key_paused": "its keys are paused", "no_key": "no key of it is usable", "no_time": "its first word would come too late",
		"context": "its context window is not larger", "ineligible": "it cannot answer such a call",
		"shed": "it refuses too much, and this attempt was thrown away",
	}
	if w := words[reason]; w != "" {
		return w
	}
	return reason
}

// attempt writes one attempt and what followed.
func attempt(b *strings.Builder, a explain.Attempt) {
	fmt.Fprintf(b, "  attempt %d  %s %s  %s after %s", a.Number, a.Target, a.Key, how(a), span(a.DurationMS))
	for _, more := range details(a) {
		fmt.Fprintf(b, ", %s", more)
	}
	fmt.Fprintln(b)
	if a.Next != nil {
		fmt.Fprintf(b, "             -> %s\n", then(*a.Next))
	}
}

// limitedBy says what a limit did.
func limitedBy(l explain.Limit) string {
	if l.Decision == call.LimitedShadow {
		return fmt.Sprintf("limit %s would have refused it, but only counts", l.Name)
	}
	return fmt.Sprintf("limit %s refused it for %s", l.Name, span(l.WaitMS))
}

// how says how an attempt ended.
func how(a explain.Attempt) string {
	end := a.Class
	if a.Status > 0 {
		end = fmt.Sprintf("%d %s", a.Status, a.Class)
	}
	if why := listed(", ", a.Code, a.Category, named("clock", a.Clock), named("connection", a.Fault)); why != "" && a.Class != "ok" {
		end += " (" + why + ")"
	}
	return end
}

// details are what else is known of an attempt.
func details(a explain.Attempt) (words []string) {
	if a.RetryAfterMS > 0 {
		words = append(words, "asked to wait "+span(a.RetryAfterMS))
	}
	if a.FirstTokenMS > 0 {
		words = append(words, "first word after "+span(a.FirstTokenMS))
	}
	if t := a.Tokens; t != nil {
		words = append(words, fmt.Sprintf("%d tokens in, %d out", t.Input, t.Output))
	}
	if a.OddUsage {
		words = append(words, "a usage that cannot be")
	}
	if a.Bytes > 0 {
		words = append(words, size(a.Bytes))
	}
	return words
}

// then says what was decided after an attempt.
func then(n explain.Next) string {
	switch n.Decision {
	case "same_target":
		if n.WaitMS == 0 {
			return "the same target at once"
		}
		return "waited " + span(n.WaitMS) + ", the same target again"
	case "other_key":
		return "another key at once"
	case "next_target":
		return listed(" ", "moved on", named("to", n.To))
	}
	return "stopped: " + whyStopped(n.Reason)
}

// whyStopped words the reasons for stopping.
func whyStopped(reason string) string {
	words := map[string]string{
		"final": "asking again cannot change this answer", "no_target_left": "no other target is left", "attempts": "all attempts are spent",
		"tokens": "another attempt could cost more than the call may", "no_time": "the next attempt would not be in time",
		"one_attempt": "the client retries by itself, or asked for no retry", "not_replayable": "the body cannot be sent again", "not_repeatable": "it might act twice",
		"budget_retries": "the retry budget of the target is spent", "budget_tokens": "the token budget of the target is spent",
	}
	if w := words[reason]; w != "" {
		return w
	}
	return reason
}

// inShort is the history in one line.
func inShort(s explain.Story) string {
	var parts []string
	last := ""
	for _, a := range s.Attempts {
		part := ""
		if at := a.Target + " " + a.Key; at != last {
			part, last = at+" ", at
		}
		if a.Status > 0 {
			part += fmt.Sprintf("%d ", a.Status)
		}
		if a.Class != "ok" {
			part += a.Class
		}
		part = strings.TrimSpace(part)
		if n := a.Next; n != nil {
			switch {
			case n.WaitMS > 0:
				part += ", waited " + span(n.WaitMS)
			case n.Decision == "next_target":
				part += ", moved on"
			case n.Decision == "stop":
				part += ", stopped"
			}
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, " -> ")
}
