package web

import (
	"net/http"
)

type healthJSON struct {
	Status  string   `json:"status"`
	Reasons []string `json:"reasons,omitempty"`
}

func (f *face) health(w http.ResponseWriter, _ *http.Request) {
	var err error
	if f.Health != nil {
		err = f.Health()
	}
	report(w, "ok", "failed", reasons(err))
}

func (f *face) ready(w http.ResponseWriter, _ *http.Request) {
	var all []string
	if f.Ready != nil {
		all = reasons(f.Ready())
	}
	for _, v := range f.Views() {
		all = append(all, reasons(v.Ready())...)
	}
	report(w, "ready", "not ready", all)
}

func report(w http.ResponseWriter, good, bad string, reasons []string) {
	if len(reasons) == 0 {
		send(w, http.StatusOK, healthJSON{Status: good})
		return
	}
	send(w, http.StatusServiceUnavailable, healthJSON{bad, reasons})
}

// reasons takes joined errors apart.
func reasons(err error) []string {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []string
		for _, e := range joined.Unwrap() {
			all = append(all, reasons(e)...)
		}
		return all
	}
	return []string{err.Error()}
}
