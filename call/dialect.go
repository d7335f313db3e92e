package call

// Dialect is what one wire format knows of itself: how to read requests, frames
// and answers, and how to say no. Implementations hold no state and are safe for
// concurrent use. They look at bytes and allocate only for what they return.
type Dialect interface {
	// Name is the dialect's name: "chat", "responses", "messages".
	Name() string

	// Read fills r from a request body. It returns an error when the body is not
	// a JSON object; unknown members are nobody's business and pass.
	Read(body []byte, r *Request) error

	// Frame says what one event of a stream means. event is the SSE event name
	// ("" if none), data its payload; both are only valid during the call. s is
	// this stream's memory.
	Frame(event, data []byte, s *Stream) Frame

	// Answer says what a whole, not streamed JSON answer with status 2xx means:
	// FrameEnd for a complete answer, FrameError for an error object under a
	// 200, FrameMalformed for anything else. op is the operation asked for.
	Answer(op Op, body []byte, s *Stream) Frame

	// Refusal returns the body of an error response made by us, and its status.
	Refusal(p Problem) (status int, body []byte)

	// ErrorEvent returns the bytes that end a broken stream honestly, on a frame
	// boundary. It never contains a terminator of success.
	ErrorEvent(p Problem, s *Stream) []byte

	// Ended says whether a stream that stopped cleanly here was complete. strict
	// asks for the dialect's own terminator; otherwise a finish reason for every
	// choice is enough.
	Ended(s *Stream, strict bool) bool
}

// FrameKind says what one frame of a stream means.
type FrameKind uint8

// What one frame of a stream means.
const (
	FrameQuiet     FrameKind = iota // ping, comment, role, created, block start, empty delta, usage
	FrameContent                    // meaningful: text, reasoning, refusal, tool call, image or audio delta
	FrameFinish                     // meaningful: a finish reason
	FrameEnd                        // the dialect's terminator: nothing follows
	FrameError                      // an error inside a 200
	FrameMalformed                  // not what the dialect speaks
)

func (k FrameKind) String() string {
	return [...]string{"quiet", "content", "finish", "end", "error", "malformed"}[k]
}

// Meaningful reports whether the frame moves the commit point.
func (k FrameKind) Meaningful() bool {
	return k == FrameContent || k == FrameFinish || k == FrameEnd
}

// Frame is the meaning of one frame.
type Frame struct {
	Kind    FrameKind
	Policy  string  // category of a policy signal in this frame; "" none
	Problem Problem // when Kind is FrameError
	KeepRaw bool    // FrameError: the provider's frame is already the honest ending (SDKs raise it); forward it as it is
}

// Stream is what a dialect remembers of one answer. The zero value is ready.
type Stream struct {
	Request  *Request // what was asked; may be nil
	ID       string   // the answer's id
	Model    string   // the model that answered
	Sequence int64    // last sequence_number seen (responses)
	Started  bool     // the answer has begun (created, message_start, first chunk)
	Content  bool     // something meaningful was seen
	Finishes int      // choices that have given a finish reason
	Choices  uint64   // which choices those are, a bit per index (chat); a choice that finishes twice counts once
	Ended    bool     // the terminator was seen
	Failed   bool     // a failure event was seen (responses: response.failed)
	Finish   string   // last finish reason
	Policy   string   // policy category seen; "" none
	Made     []string // ids of what the answer left at the account: containers, conversations, seals
	Note     string   // a remark on an answer that is whole: "content_filter_error", the filter was down; "" none
	Usage    Usage
}

// Problem is an error to be told in some dialect.
type Problem struct {
	Reason  string // ours, one of the Reason constants; "" when the provider said it
	Status  int    // HTTP status it has, or would have had
	Type    string // provider's error type, or ""
	Code    string // provider's error code, or ""
	Param   string
	Message string // for the caller's eyes only; never logged
	Class   Class
	Request string // our request id, shown where the dialect has a place for it
}

// LargeFrames is what a Dialect may know of a frame that is too large to hold:
// its meaning from the bytes at its head. A Dialect without it has no large
// frames but content.
type LargeFrames interface {
	Large(event, head []byte, s *Stream) Frame
}
