package traces

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Config says where spans go and of which calls. The zero Config sends none.
type Config struct {
	Endpoint  string  // base address of a collector's OTLP/HTTP receiver, as http://127.0.0.1:4318; "": no spans
	Ratio     float64 // share of the calls whose caller sent no trace that is kept, 0 to 1; others follow their caller
	Propagate bool    // providers get a traceparent; else none
	GenAI     string  // names of gen_ai.* attributes: v1.41 ("" too), latest or off
}

// Validate reports everything that is wrong with c.
func (c Config) Validate() error {
	var errs []error
	if c.Endpoint != "" {
		u, err := url.Parse(c.Endpoint)
		switch {
		case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
			errs = append(errs, errors.New("endpoint: want an address with http:// or https:// and a host"))
		case u.User != nil || u.RawQuery != "" || u.Fragment != "":
			errs = append(errs, errors.New("endpoint: may not hold a user, a query or a fragment"))
		}
	}
	if c.Ratio < 0 || c.Ratio > 1 {
		errs = append(errs, fmt.Errorf("ratio: %g is not from 0 to 1", c.Ratio))
	}
	if _, known := profiles[c.profile()]; !known {
		errs = append(errs, fmt.Errorf("genai: %q is not %s, %s or %s", c.GenAI, GenAI141, GenAILatest, GenAIOff))
	}
	return errors.Join(errs...)
}

func (c Config) profile() string {
	if c.GenAI == "" {
		return GenAI141
	}
	return c.GenAI
}

// spansAddress is where the exporter posts.
func (c Config) spansAddress() string { return strings.TrimSuffix(c.Endpoint, "/") + "/v1/traces" }
