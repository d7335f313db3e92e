package admin

import (
	"net/http"
	"slices"

	"github.com/holdfast-gateway/holdfast"
)

func (a *API) listQueues(w http.ResponseWriter, _ *http.Request, _ map[string]string) *problem {
	return reply(w, http.StatusOK, Queues{Queues: append([]holdfast.RouteStatus{}, a.Status().Routes...)})
}

// moveQueue does one action on the waiting room of a route.
func (a *API) moveQueue(w http.ResponseWriter, r *http.Request, route, action string) *problem {
	if err := a.Queue(route, action); err != nil {
		return &problem{Status: http.StatusNotFound, Code: "not_found", Detail: "No route has that name. GET /api/v1/queues names them."}
	}
	a.Log.Warn("operator", "action", action+" queue", "route", route, "from", r.RemoteAddr)
	all := a.Status().Routes
	i := slices.IndexFunc(all, func(s holdfast.RouteStatus) bool { return s.Name == route })
	if i < 0 { // it was removed meanwhile
		return &problem{Status: http.StatusNotFound, Code: "not_found", Detail: "The route was removed."}
	}
	return reply(w, http.StatusOK, all[i])
}
