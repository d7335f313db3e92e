package sim

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/holdfast-gateway/holdfast/fault"
)

// isControl tells the provider's own API from the vendor's.
func isControl(path string) bool { return path == "/sim" || strings.HasPrefix(path, "/sim/") }

// controls is the API for whoever runs the provider. It is not subject to faults, keys or
// the log.
func (p *Provider) controls() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /sim/dials", func(w http.ResponseWriter, r *http.Request) { reply(w, http.StatusOK, p.Dials()) })
	mux.HandleFunc("POST /sim/dials", p.turnDials)
	mux.HandleFunc("GET /sim/log", p.showLog)
	mux.HandleFunc("DELETE /sim/log", func(w http.ResponseWriter, r *http.Request) {
		p.ClearLog()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /sim/counts", func(w http.ResponseWriter, r *http.Request) { reply(w, http.StatusOK, p.Counts()) })
	mux.HandleFunc("GET /sim/spent", func(w http.ResponseWriter, r *http.Request) { reply(w, http.StatusOK, p.Spent()) })
	mux.HandleFunc("GET /sim/faults", func(w http.ResponseWriter, r *http.Request) { reply(w, http.StatusOK, fault.List()) })
	mux.HandleFunc("/sim/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, http.StatusNotFound, "sim: there are /sim/dials, /sim/log, /sim/counts, /sim/spent and /sim/faults")
	})
	return mux
}

// turnDials takes the dials named in the body and answers with all of them.
func (p *Provider) turnDials(w http.ResponseWriter, r *http.Request) {
	d, err := p.Dials().turned(http.MaxBytesReader(w, r.Body, 64<<10))
	if err == nil {
		err = p.SetDials(d)
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	reply(w, http.StatusOK, d)
}

func (p *Provider) showLog(w http.ResponseWriter, r *http.Request) {
	var since uint64
	if text := r.URL.Query().Get("since"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			refuse(w, http.StatusBadRequest, "sim: since is not a number")
			return
		}
		since = n
	}
	reply(w, http.StatusOK, p.journal.since(since))
}

func refuse(w http.ResponseWriter, status int, message string) {
	reply(w, status, map[string]string{"error": message})
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the caller may have left
}
