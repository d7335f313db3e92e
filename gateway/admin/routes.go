package admin

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/holdfast-gateway/holdfast"
)

// prefix is where the API stands.
const prefix = "/api/v1"

// operation is one thing that can be asked: a row of the table that routes
// requests and that the document is made from.
type operation struct {
	method, path string // path below prefix; {name} stands for a word, {name...} for several
	id, summary  string
	does         string // more, for people
	parameters   []parameter
	takes        any    // of what type a JSON body is; nil: none
	gives        any    // of what type the answer is
	status       int    // of the answer
	kind         string // content type of the answer; "" JSON
	problems     []int  // besides those of every operation
	handle       func(w http.ResponseWriter, r *http.Request, args map[string]string) *problem
}

// parameter is a part of the path, a member of the query or a header.
type parameter struct {
	name, in, kind, doc string
}

// table lists the operations. A new one adds its row here.
func (a *API) table() []operation {
	target := parameter{"target", "path", "string", "name of a target; its slashes may stay or be %2F"}
	moves := func(action, summary, does string) operation {
		return operation{
			method: "POST", path: "/breakers/{target...}/" + action, id: action + "Breaker", summary: summary, does: does,
			parameters: []parameter{target}, takes: Move{}, gives: Breaker{}, status: 200, problems: []int{400, 404, 415},
			handle: func(w http.ResponseWriter, r *http.Request, args map[string]string) *problem {
				return a.move(w, r, args["target"], action)
			},
		}
	}
	route := parameter{"route", "path", "string", "name of a route"}
	rooms := func(action, summary, does string) operation {
		return operation{
			method: "POST", path: "/queues/{route}/" + action, id: action + "Queue", summary: summary, does: does + " Takes no body.",
			parameters: []parameter{route}, gives: holdfast.RouteStatus{}, status: 200, problems: []int{404},
			handle: func(w http.ResponseWriter, r *http.Request, args map[string]string) *problem {
				return a.moveQueue(w, r, args["route"], action)
			},
		}
	}
	return []operation{
		{method: "GET", path: "/breakers", id: "listBreakers", summary: "the circuits of all targets", gives: Breakers{}, status: 200, handle: a.listBreakers},
		moves("close", "admit everything to a target", "Outcomes open nothing until it is opened or reset."),
		moves("open", "send nothing to a target", "With a time it is probed afterwards as after any outage. A time never shortens how long it is open already."),
		moves("reset", "forget what is known of a target", "Its circuit is closed as on the first day, and works by itself."),
		{method: "GET", path: "/config", id: "showConfig", summary: "the configuration in force", does: "Secrets are masked.", gives: Effective{}, status: 200,
			problems: []int{404}, handle: a.showConfig},
		{method: "POST", path: "/config/reload", id: "reloadConfig", summary: "read the configuration file again",
			does:  "A file with a mistake changes nothing; the problem says where the mistake stands. Takes no body.",
			gives: File{}, status: 200, problems: []int{422}, handle: a.reload},
		{method: "POST", path: "/drain", id: "drain", summary: "end the process gently", does: "As SIGTERM does. Takes no body.",
			gives: Draining{}, status: 202, handle: a.drain},
		{method: "GET", path: "/events", id: "followEvents", summary: "what happens, as server-sent events",
			does: "Each event has an id, its kind as the event's name, and data as below. Silence is filled with comments, every 15 s. " +
				"Last-Event-ID goes on after that event; what was overwritten meanwhile is told by an event named gap with the member missed. " +
				"A reader that does not keep up is cut, and may come back.",
			parameters: []parameter{
				{"Last-Event-ID", "header", "string", "id of the last event received; one that is not known means all events that are kept; absent: from now on"},
				{"follow", "query", "boolean", "false: end when the events that are kept were sent; true"},
			},
			gives: liveEvent, status: 200, kind: "text/event-stream", problems: []int{400, 503}, handle: a.follow},
		{method: "GET", path: "/openapi.json", id: "showDocument", summary: "this document", gives: map[string]any{}, status: 200, handle: a.showDocument},
		{method: "GET", path: "/queues", id: "listQueues", summary: "the waiting rooms of all routes", gives: Queues{}, status: 200, handle: a.listQueues},
		rooms("drain", "refuse new calls of a route", "Those that wait or are inside go on, to their ends."),
		rooms("pause", "let no call of a route in", "Calls wait as long as they may and are refused then. Those that are inside go on."),
		rooms("resume", "end a pause and a drain", "What waits goes in."),
		{method: "GET", path: "/requests", id: "listRequests", summary: "recent calls, the newest first",
			parameters: []parameter{
				{"class", "query", "string", "how they ended: a class of failure, or ok"},
				{"failed", "query", "boolean", "only calls that ended without a true answer"},
				{"limit", "query", "integer", "at most so many, 1 to 1000; 50"},
				{"route", "query", "string", "of this route"},
				{"status", "query", "string", "what the caller saw: 503, or 5xx"},
				{"target", "query", "string", "asked last"},
				{"tenant", "query", "string", "of this tenant"},
			}, gives: Requests{}, status: 200, problems: []int{400}, handle: a.listRequests},
		{method: "GET", path: "/requests/{id}", id: "explainRequest", summary: "what happened to one call",
			parameters: []parameter{{"id", "path", "string", "x-holdfast-request-id"}}, gives: story, status: 200, problems: []int{404}, handle: a.explain},
		{method: "GET", path: "/status", id: "showStatus", summary: "the whole gateway at one moment", gives: Status{}, status: 200, handle: a.showStatus},
		{method: "GET", path: "/targets", id: "listTargets", summary: "the targets of all routes", gives: Targets{}, status: 200, handle: a.listTargets},
		{method: "GET", path: "/version", id: "showVersion", summary: "which binary this is", gives: Version{}, status: 200, handle: a.showVersion},
	}
}

// find returns the operation that a request asks for. HEAD asks as GET does.
func (a *API) find(r *http.Request) (*operation, map[string]string, *problem) {
	words, ok := split(r.URL.EscapedPath())
	if !ok {
		return nil, nil, notFound()
	}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	var allowed []string
	for i := range a.operations {
		o := &a.operations[i]
		args, fits := o.match(words)
		if !fits {
			continue
		}
		if o.method == method && (r.Method != http.MethodHead || o.kind == "") {
			return o, args, nil
		}
		allowed = append(allowed, o.method)
	}
	if len(allowed) == 0 {
		return nil, nil, notFound()
	}
	return nil, nil, wrongMethod(strings.Join(allowed, ", "))
}

// split returns the words of a path below prefix. A word that is empty, a dot
// or two, or holds what no name of ours does, names nothing.
func split(escaped string) ([]string, bool) {
	rest, ok := strings.CutPrefix(escaped, prefix+"/")
	if !ok {
		return nil, false
	}
	words := strings.Split(rest, "/")
	for i, w := range words {
		word, err := url.PathUnescape(w)
		if err != nil || len(word) > 512 || !printable(word) || strings.Contains(word, `\`) {
			return nil, false
		}
		for part := range strings.SplitSeq(word, "/") { // of a name with %2F
			if part == "" || part == "." || part == ".." {
				return nil, false
			}
		}
		words[i] = word
	}
	return words, true
}

// match compares the words of a path with the operation's.
func (o *operation) match(words []string) (map[string]string, bool) {
	args := map[string]string{}
	want := strings.Split(strings.TrimPrefix(o.path, "/"), "/")
	for i, w := range want {
		name, isArg := strings.CutPrefix(w, "{")
		if several, ok := strings.CutSuffix(name, "...}"); isArg && ok {
			n := len(words) - len(want) + 1 // words that it stands for
			if n < 1 || i+n > len(words) {
				return nil, false
			}
			args[several] = strings.Join(words[i:i+n], "/")
			words = slices.Concat(words[:i], []string{w}, words[i+n:])
			continue
		}
		switch {
		case i >= len(words):
			return nil, false
		case isArg:
			args[strings.TrimSuffix(name, "}")] = words[i]
		case words[i] != w:
			return nil, false
		}
	}
	return args, len(words) == len(want)
}
