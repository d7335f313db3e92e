package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// maxAnswer bounds what is read from a gateway, in bytes.
const maxAnswer = 64 << 20

// tokenVariable holds the token of operators: an argument would be seen by
// everybody who lists processes.
const tokenVariable = "HOLDFAST_ADMIN_TOKEN"

// aboutOperators ends the description of commands that ask a running gateway.
const aboutOperators = "\nThe token, where the gateway has one (admin.token), is taken from " + tokenVariable + ".\n" +
	"Exit code 3: the gateway cannot be reached."

// operator asks a running gateway.
type operator struct {
	address string
	token   string
}

// askedBy gives a command the flags that say which gateway is meant.
func askedBy(c *cobra.Command) *operator {
	o := &operator{token: os.Getenv(tokenVariable)}
	c.Flags().StringVar(&o.address, "admin", "http://127.0.0.1:8081", "the gateway's `address` for operators")
	return o
}

// refusal is a problem that the gateway answered.
type refusal struct {
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

func (r *refusal) Error() string { return printable(r.Detail) }

// get returns the body of an answer, which is JSON.
func (o *operator) get(ctx context.Context, path string) ([]byte, error) {
	return o.do(ctx, http.MethodGet, path, nil)
}

// do asks and returns the body of the answer. Its error says how the command
// ends; one that wraps a *refusal is the gateway's.
func (o *operator) do(ctx context.Context, method, path string, body any) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	resp, err := o.send(ctx, method, path, body, nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, exit{exitUnreachable, fmt.Errorf("the gateway at %s broke off: %w", o.address, err)}
	}
	return raw, nil
}

// send asks and returns an answer that is none of a problem.
func (o *operator) send(ctx context.Context, method, path string, body any, header http.Header) (*http.Response, error) {
	base, err := o.base()
	if err != nil {
		return nil, err
	}
	var content []byte
	if body != nil {
		if content, err = json.Marshal(body); err != nil {
			return nil, exit{exitUsage, err}
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, base+path, bytes.NewReader(content))
	if err != nil {
		return nil, exit{exitUsage, err}
	}
	for name, values := range header {
		req.Header[name] = values
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if o.token != "" {
		req.Header.Set("Authorization", "Bearer "+o.token)
	}
	resp, err := http.DefaultClient.Do(req)
	switch {
	case err != nil && ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, exit{code: exitInterrupted}
	case err != nil:
		return nil, exit{exitUnreachable, fmt.Errorf("cannot reach a gateway at %s: %w", o.address, bareURL(err))}
	case resp.StatusCode/100 != 2:
		defer resp.Body.Close()
		return nil, o.refused(resp)
	}
	return resp, nil
}

// base returns the address as a URL without a path.
func (o *operator) base() (string, error) {
	address := o.address
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", exit{exitUsage, fmt.Errorf("--admin: %q is no address", o.address)}
	}
	return u.Scheme + "://" + u.Host, nil
}

// refused words an answer that is none.
func (o *operator) refused(resp *http.Response) error {
	raw, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20)) // what came says enough
	r := &refusal{}
	if json.Unmarshal(raw, r) != nil || r.Detail == "" {
		return exit{exitFailed, fmt.Errorf("%s answers %s: is this the address for operators?", o.address, resp.Status)}
	}
	if r.Status == http.StatusUnauthorized {
		r.Detail += " Set " + tokenVariable + "."
	}
	return exit{exitFailed, r}
}

// bareURL takes the address out of a client's error: the sentence names it.
func bareURL(err error) error {
	if wrapped, ok := err.(*url.Error); ok { //nolint:errorlint // what Do returns is always this
		return wrapped.Err
	}
	return err
}

// decode reads an answer into v.
func (o *operator) decode(raw []byte, v any) error {
	if err := json.Unmarshal(raw, v); err != nil {
		return exit{exitFailed, fmt.Errorf("%s does not answer as a gateway does: %w", o.address, err)}
	}
	return nil
}

// listing is a command that asks a running gateway for something and shows it.
func listing[T any](p *program, short, long, path string, show func(T) error) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{Use: "list", Short: short, Long: long + aboutOperators, Args: cobra.NoArgs}
	o := askedBy(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.RunE = func(c *cobra.Command, _ []string) error {
		raw, err := o.get(c.Context(), path)
		if err != nil {
			return err
		}
		return answer(p, o, raw, asJSON, show)
	}
	return c
}

// answer prints raw as it came with --json, else decodes it and shows it.
func answer[T any](p *program, o *operator, raw []byte, asJSON bool, show func(T) error) error {
	if asJSON {
		_, err := p.out.Write(raw)
		return err
	}
	var v T
	if err := o.decode(raw, &v); err != nil {
		return err
	}
	return show(v)
}
