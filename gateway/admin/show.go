package admin

import (
	"net/http"
	"net/url"
	"runtime"
	"strconv"
	"strings"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/gateway/explain"
)

// failuresShown is how many recent failures a Status names.
const failuresShown = 10

// current returns the status with lists instead of nothing.
func (a *API) current() Status {
	s := a.Status()
	if s.Routes == nil {
		s.Routes = []holdfast.RouteStatus{}
	}
	if s.Targets == nil {
		s.Targets = []holdfast.TargetStatus{}
	}
	return s
}

func (a *API) showStatus(w http.ResponseWriter, _ *http.Request, _ map[string]string) *problem {
	s := a.current()
	s.Failures = orEmpty(a.Book.Recent(explain.Filter{Failed: true, Limit: failuresShown}))
	s.Remembered = a.Book.Counts()
	return reply(w, http.StatusOK, s)
}

func (a *API) listTargets(w http.ResponseWriter, _ *http.Request, _ map[string]string) *problem {
	return reply(w, http.StatusOK, Targets{a.current().Targets})
}

func (a *API) showVersion(w http.ResponseWriter, _ *http.Request, _ map[string]string) *problem {
	return reply(w, http.StatusOK, Version{Version: a.Version, Go: runtime.Version(), Started: a.Status().Started})
}

func (a *API) showConfig(w http.ResponseWriter, _ *http.Request, _ map[string]string) *problem {
	if a.Effective == nil {
		return &problem{Status: http.StatusNotFound, Code: "not_shown", Detail: "This gateway has no configuration to show."}
	}
	effective, err := a.Effective()
	if err != nil {
		return &problem{Status: http.StatusNotFound, Code: "not_shown", Detail: err.Error()}
	}
	return reply(w, http.StatusOK, Effective{File: a.Status().Config, Effective: effective})
}

func (a *API) showDocument(w http.ResponseWriter, _ *http.Request, _ map[string]string) *problem {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(a.document) // a reader that is gone hears nothing
	return nil
}

func (a *API) reload(w http.ResponseWriter, r *http.Request, _ map[string]string) *problem {
	err := a.Reload()
	a.Log.Info("operator", "action", "reload", "from", r.RemoteAddr, "changed", err == nil)
	if err != nil {
		return &problem{Status: http.StatusUnprocessableEntity, Code: "refused_config", Detail: err.Error()}
	}
	return reply(w, http.StatusOK, a.Status().Config)
}

func (a *API) drain(w http.ResponseWriter, r *http.Request, _ map[string]string) *problem {
	a.Log.Warn("operator", "action", "drain", "from", r.RemoteAddr)
	a.Drain()
	return reply(w, http.StatusAccepted, Draining{true})
}

func (a *API) explain(w http.ResponseWriter, _ *http.Request, args map[string]string) *problem {
	s, ok := a.Book.Find(args["id"])
	if !ok {
		return &problem{Status: http.StatusNotFound, Code: "not_found",
			Detail: "No call of that id is remembered: it is older than the last ones, was answered by another gateway, or never was."}
	}
	return reply(w, http.StatusOK, s)
}

func (a *API) listRequests(w http.ResponseWriter, r *http.Request, _ map[string]string) *problem {
	f, p := filter(r.URL.RawQuery)
	if p != nil {
		return p
	}
	return reply(w, http.StatusOK, Requests{orEmpty(a.Book.Recent(f)), a.Book.Counts()})
}

func orEmpty(s []explain.Summary) []explain.Summary {
	if s == nil {
		return []explain.Summary{}
	}
	return s
}

// filter reads a query. What it does not know is a mistake, not to be ignored.
func filter(query string) (explain.Filter, *problem) {
	var f explain.Filter
	if len(query) > 4096 || strings.Count(query, "&") > 20 {
		return f, badRequest("The query is too long.")
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return f, badRequest("The query cannot be read.")
	}
	for name, all := range values {
		if len(all) != 1 || !set(&f, name, all[0]) {
			return f, badRequest("The query is one of class, failed (true, false), limit (1 to 1000), route, status (503, 5xx), target, tenant, each once: " + strconv.Quote(short(name)) + " is not good.")
		}
	}
	return f, nil
}

// set reads one member of a query; false when it is not good.
func set(f *explain.Filter, name, value string) bool {
	switch name {
	case "route":
		f.Route = value
	case "target":
		f.Target = value
	case "tenant":
		f.Tenant = value
	case "class":
		_, err := call.ParseClass(value)
		f.Class = value
		return err == nil
	case "failed":
		failed, err := strconv.ParseBool(value)
		f.Failed = failed
		return err == nil
	case "limit":
		n, err := strconv.Atoi(value)
		f.Limit = n
		return err == nil && n >= 1 && n <= 1000
	case "status":
		n, err := strconv.Atoi(strings.TrimSuffix(value, "xx"))
		f.Status = n
		whole := strings.HasSuffix(value, "xx")
		return err == nil && (whole && n >= 1 && n <= 5 || !whole && n >= 100 && n <= 599)
	default:
		return false
	}
	return value != ""
}

func short(s string) string {
	if len(s) > 40 {
		s = s[:40] + "..."
	}
	return s
}
