package web

import (
	"fmt"
	"log/slog"
	"net/http"

	"github.com/seed-73111be4/kappa/views"
)

// Config says what a handler shows. Every field may be nil.
type Config struct {
	// Views returns the views of the process, in the order to list them.
	Views func() []*views.View
	// Health returns why the process cannot go on, nil while it can.
	Health func() error
	// Ready returns why the process does not do its work yet; joined errors are
	// listed one by one. The readiness of the views is added.
	Ready func() error
	// Metrics serves /metrics.
	Metrics http.Handler
	// Log receives errors that the client cannot mend. Default: nothing is logged.
	Log *slog.Logger
}

type face struct{ Config }

// NewHandler returns the HTTP face.
func NewHandler(c Config) http.Handler {
	if c.Views == nil {
		c.Views = func() []*views.View { return nil }
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	f := &face{c}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", f.index)
	mux.HandleFunc("GET /healthz", f.health)
	mux.HandleFunc("GET /readyz", f.ready)
	mux.HandleFunc("GET /views", f.list)
	mux.HandleFunc("GET /views/{view}", f.table)
	mux.HandleFunc("GET /views/{view}/{key}", f.row)
	if c.Metrics != nil {
		mux.Handle("GET /metrics", c.Metrics)
	}
	mux.HandleFunc("/", f.lost)
	return mux
}

func (f *face) index(w http.ResponseWriter, _ *http.Request) {
	paths := []string{"/healthz", "/readyz", "/views", "/views/{view}", "/views/{view}/{key}"}
	if f.Metrics != nil {
		paths = append(paths, "/metrics")
	}
	send(w, http.StatusOK, map[string]any{"paths": paths})
}

func (f *face) lost(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		fail(w, &problem{http.StatusMethodNotAllowed, fmt.Sprintf("method %s is not allowed", r.Method), "everything here is read with GET", nil})
		return
	}
	fail(w, &problem{http.StatusNotFound, "there is nothing at " + r.URL.EscapedPath(),
		"GET / lists the paths; a slash in a key is written %2F, or use /views/{view}?key=…", nil})
}
