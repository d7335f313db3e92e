// Package otlpsink is a small receiver of OTLP over HTTP, for tests: it decodes
// spans with OpenTelemetry's own messages and shows them.
package otlpsink

import (
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/protobuf/proto"
)

// Span is a span as it arrived.
type Span struct {
	Trace, ID, Parent string // hexadecimal; Parent is "" for a root
	Name              string
	Kind              string // SPAN_KIND_SERVER, SPAN_KIND_CLIENT
	Start, End        time.Time
	Status            string // STATUS_CODE_ERROR, STATUS_CODE_UNSET
	Attributes        map[string]any
	Resource          map[string]any
	Schema            string
}

// Sink takes POST /v1/traces and answers GET /spans with what it took, as JSON.
type Sink struct {
	mu    sync.Mutex
	spans []Span
}

// Spans returns what has arrived.
func (s *Sink) Spans() []Span {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Span(nil), s.spans...)
}

// ServeHTTP is the receiver.
func (s *Sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet && r.URL.Path == "/spans" {
		_ = json.NewEncoder(w).Encode(s.Spans())
		return
	}
	body, err := io.ReadAll(r.Body)
	var request collector.ExportTraceServiceRequest
	if r.Method != http.MethodPost || r.URL.Path != "/v1/traces" || err != nil || proto.Unmarshal(body, &request) != nil {
		http.Error(w, "not spans", http.StatusBadRequest)
		return
	}
	s.take(&request)
	answer, _ := proto.Marshal(&collector.ExportTraceServiceResponse{})
	w.Header().Set("Content-Type", "application/x-protobuf")
	_, _ = w.Write(answer)
}

func (s *Sink) take(request *collector.ExportTraceServiceRequest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range request.ResourceSpans {
		for _, scope := range r.ScopeSpans {
			for _, p := range scope.Spans {
				s.spans = append(s.spans, Span{
					Trace: hex.EncodeToString(p.TraceId), ID: hex.EncodeToString(p.SpanId), Parent: hex.EncodeToString(p.ParentSpanId),
					Name: p.Name, Kind: p.Kind.String(), Status: p.Status.GetCode().String(),
					Start: moment(p.StartTimeUnixNano), End: moment(p.EndTimeUnixNano),
					Attributes: values(p.Attributes), Resource: values(r.Resource.GetAttributes()), Schema: scope.SchemaUrl,
				})
			}
		}
	}
}

// moment is a time as OTLP writes it.
func moment(nano uint64) time.Time {
	return time.Unix(0, int64(nano)) //nolint:gosec // G115: fits until the year 2262
}

func values(list []*common.KeyValue) map[string]any {
	all := map[string]any{}
	for _, kv := range list {
		switch v := kv.Value.Value.(type) {
		case *common.AnyValue_StringValue:
			all[kv.Key] = v.StringValue
		case *common.AnyValue_IntValue:
			all[kv.Key] = float64(v.IntValue) // as JSON has it
		case *common.AnyValue_DoubleValue:
			all[kv.Key] = v.DoubleValue
		case *common.AnyValue_BoolValue:
			all[kv.Key] = v.BoolValue
		}
	}
	return all
}
