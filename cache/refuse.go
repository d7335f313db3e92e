package cache

import (
	"strconv"

	"github.com/holdfast-gateway/holdfast/call"
)

// Why a call is not answered from memory.
const (
	WhyPath        = "path"        // no such answers are kept
	WhyStream      = "stream"      // it asks for a stream
	WhyState       = "state"       // it refers to, or makes, something at the provider's account
	WhyTools       = "tools"       // it lets the model act
	WhyTemperature = "temperature" // its answer is a draw of lots
	WhyAsked       = "asked"       // the caller wants a new answer
)

// Refuses says why a call must not be answered from memory, one of the Whys, or
// "" if it may be. r and body are the call's request as its dialect read it.
func (c Config) Refuses(op call.Op, r *call.Request, body []byte) string {
	switch op {
	case call.OpChat, call.OpResponses, call.OpMessages, call.OpEmbeddings:
	default:
		return WhyPath
	}
	if r.Stream && c.Streams != On {
		return WhyStream
	}
	if r.Pinned || len(r.Refs) > 0 {
		return WhyState
	}
	what := look(op, body)
	switch {
	case what.state:
		return WhyState
	case (what.acts || r.Tools > 0) && c.Tools != On:
		return WhyTools
	case !what.fixed && c.AnyTemperature != On:
		return WhyTemperature
	}
	return ""
}

// seen is what the members of a body say of its answer.
type seen struct {
	state bool // it leaves something at the account, or depends on what is there
	acts  bool // the provider may search or call others for it
	fixed bool // the same call has the same answer
}

// look reads a body's members. A member that stands there twice counts as the
// worse of the two: which one a provider takes is its own business.
func look(op call.Op, body []byte) seen {
	s := seen{fixed: op == call.OpEmbeddings}
	zero, other := false, false
	forget, keep := false, false
	err := call.Value(body).Members(func(name []byte, v call.Value) bool {
		switch string(name) {
		case "temperature":
			if isZero(v) {
				zero = true
			} else {
				other = true
			}
		case "store":
			forget, keep = forget || v.Kind() == 'f', keep || v.Kind() != 'f'
		case "background":
			s.state = s.state || v.True()
		case "conversation", "prompt", "previous_response_id", "container":
			s.state = s.state || v.Filled()
		case "web_search_options", "mcp_servers", "tools", "functions":
			s.acts = s.acts || v.Filled()
		}
		return true
	})
	if op == call.OpResponses && !forget { // they are kept unless one says otherwise
		keep = true
	}
	s.state = s.state || keep || err != nil
	s.fixed = s.fixed || zero && !other
	return s
}

// isZero reports whether a value is the number 0, however it is written.
func isZero(v call.Value) bool {
	f, err := strconv.ParseFloat(string(v), 64)
	return err == nil && f == 0 && v.Kind() == '0'
}
