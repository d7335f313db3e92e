package admin

import (
	"encoding/json"
	"net/http"
	"strings"
	"unicode"
)

// problem is an RFC 9457 problem, and the body of every error.
type problem struct {
	Type   string `json:"type" doc:"always about:blank; code tells problems apart"`
	Title  string `json:"title" doc:"of the status"`
	Status int    `json:"status"`
	Detail string `json:"detail" doc:"what is wrong and what to do"`
	Code   string `json:"code" doc:"bad_request, cross_origin, method_not_allowed, not_found, not_shown, refused_config, too_many_readers, unauthorized, unknown_host, unsupported_media_type"`

	allow string // methods, for a 405
}

func (p *problem) write(w http.ResponseWriter) {
	p.Type, p.Title = "about:blank", http.StatusText(p.Status)
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="holdfast admin"`)
	}
	if p.allow != "" {
		w.Header().Set("Allow", p.allow)
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // a reader that is gone hears nothing
}

func notFound() *problem {
	return &problem{Status: http.StatusNotFound, Code: "not_found", Detail: "There is nothing here. GET /api/v1/openapi.json says what there is."}
}

func badRequest(detail string) *problem {
	return &problem{Status: http.StatusBadRequest, Code: "bad_request", Detail: detail}
}

func wrongMethod(allowed string) *problem {
	return &problem{Status: http.StatusMethodNotAllowed, Code: "method_not_allowed", Detail: "Use " + allowed + ".", allow: allowed}
}

// reply writes a JSON answer.
func reply(w http.ResponseWriter, status int, v any) *problem {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(v) // a reader that is gone hears nothing
	return nil
}

// printable reports whether a text can stand in one line of a log or terminal.
func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r == unicode.ReplacementChar || !unicode.IsPrint(r) })
}
