package traces

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strconv"

	"go.opentelemetry.io/otel/trace"

	"github.com/holdfast-gateway/holdfast/call"
)

// Identity says where a call stands in a trace. The zero Identity stands in none.
type Identity struct {
	Trace   trace.TraceID
	Span    trace.SpanID // of the call
	Parent  trace.SpanID // the caller's; zero if it sent none
	Sampled bool         // somebody keeps this trace
}

// attempt returns the id of the span of an attempt of a call, the first is 1.
func attempt(callID string, n int) trace.SpanID {
	sum := sha256.Sum256(strconv.AppendInt(append([]byte(callID), '/'), int64(n), 10))
	return trace.SpanID(sum[:8])
}

// parse reads a traceparent (W3C Trace Context, level 1). It returns false for
// one that is malformed, which is then as good as none.
func parse(header string) (id Identity, ok bool) {
	const length = len("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	if len(header) < length || header[2] != '-' || header[35] != '-' || header[52] != '-' {
		return Identity{}, false
	}
	version, flags := header[:2], header[53:55]
	later := version != "00" && len(header) > length && header[length] == '-' // later versions may append
	if version == "ff" || len(header) > length && !later {
		return Identity{}, false
	}
	var bits [1]byte
	if !decode(bits[:], version) || !decode(id.Trace[:], header[3:35]) || !decode(id.Parent[:], header[36:52]) || !decode(bits[:], flags) {
		return Identity{}, false
	}
	id.Sampled = bits[0]&1 == 1
	return id, id.Trace.IsValid() && id.Parent.IsValid()
}

// decode reads lower case hexadecimal digits, the only ones the standard allows.
func decode(to []byte, text string) bool {
	for _, c := range []byte(text) {
		if c >= 'A' && c <= 'F' {
			return false
		}
	}
	_, err := hex.Decode(to, []byte(text))
	return err == nil
}

// identify places a call: in the trace of its caller, who also decides whether it
// is kept, else in one of its own, of which ratio are kept.
func identify(c *call.Call, ratio float64) Identity {
	id, joined := parse(c.Trace)
	if !joined && ratio <= 0 {
		return Identity{}
	}
	sum := sha256.Sum256([]byte(c.ID))
	id.Span = trace.SpanID(sum[16:24])
	if !joined {
		id = Identity{Trace: trace.TraceID(sum[:16]), Span: id.Span}
		id.Sampled = keeps(id.Trace, ratio)
	}
	return id
}

// keeps decides by the trace's id alone, so that everybody decides the same.
func keeps(t trace.TraceID, ratio float64) bool {
	if ratio >= 1 {
		return true
	}
	return float64(binary.BigEndian.Uint64(t[8:])>>1) < ratio*(1<<63)
}

// traceparent is what an attempt hands on.
func traceparent(id Identity, span trace.SpanID) string {
	flags := "00"
	if id.Sampled {
		flags = "01"
	}
	return "00-" + id.Trace.String() + "-" + span.String() + "-" + flags
}
