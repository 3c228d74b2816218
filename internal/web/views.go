package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/seed-73111be4/kappa/views"
)

// maxPageBytes ends a page early: the next one goes on from there.
const maxPageBytes = 16 << 20

type viewJSON struct {
	Name    string `json:"name"`
	Table   string `json:"table"`
	Ready   bool   `json:"ready"`
	Reason  string `json:"reason,omitempty"`
	Records int64  `json:"records_applied"`
}

func (f *face) list(w http.ResponseWriter, _ *http.Request) {
	list := []viewJSON{}
	for _, v := range f.Views() {
		s, err := v.Stats(), v.Ready()
		j := viewJSON{Name: v.Name(), Table: s.Table, Ready: err == nil, Records: s.Records}
		if err != nil {
			j.Reason = err.Error()
		}
		list = append(list, j)
	}
	send(w, http.StatusOK, map[string]any{"views": list})
}

// row answers /views/{view}/{key}.
func (f *face) row(w http.ResponseWriter, r *http.Request) {
	f.read(w, r, func(v *views.View, q *request) (any, *problem) {
		if q.hasKey {
			return nil, bad("the key is given twice, in the path and as a parameter", "give it once")
		}
		return f.get(v, r.PathValue("key"))
	})
}

// table answers /views/{view}: a page, or one row where a key is asked for.
func (f *face) table(w http.ResponseWriter, r *http.Request) {
	f.read(w, r, func(v *views.View, q *request) (any, *problem) {
		if q.hasKey {
			return f.get(v, q.key)
		}
		return f.page(v, q.Query)
	})
}

// read finds the view, waits for it where asked to, and answers with what do
// returns.
func (f *face) read(w http.ResponseWriter, r *http.Request, do func(*views.View, *request) (any, *problem)) {
	v, p := f.find(r.PathValue("view"))
	var q *request
	if p == nil {
		q, p = parse(r)
	}
	if p == nil {
		p = f.await(w, r, v, q.wait)
	}
	var answer any
	if p == nil {
		answer, p = do(v, q)
	}
	if p != nil {
		fail(w, p)
		return
	}
	send(w, http.StatusOK, answer)
}

func (f *face) find(name string) (*views.View, *problem) {
	var names []string
	for _, v := range f.Views() {
		if v.Name() == name || v.Table() == name {
			return v, nil
		}
		names = append(names, v.Name())
	}
	hint := "this process has no views"
	if len(names) > 0 {
		hint = "there are " + strings.Join(names, ", ")
	}
	return nil, &problem{http.StatusNotFound, fmt.Sprintf("there is no view %q", name), hint, nil}
}

// await gives the answer's deadline room, for the server's is for reads that do
// not wait.
func (f *face) await(w http.ResponseWriter, r *http.Request, v *views.View, wait time.Duration) *problem {
	if wait == 0 {
		return nil
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(wait + writeTimeout)) // tests' writers have none
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	defer cancel()
	err := v.WaitCaughtUp(ctx)
	var late *views.WaitError
	switch {
	case err == nil:
		return nil
	case r.Context().Err() != nil:
		return &problem{http.StatusServiceUnavailable, "the server is stopping", "ask another instance, or again", nil}
	case errors.As(err, &late):
		p := &problem{http.StatusGatewayTimeout, late.Error(), "wait longer, or read without wait what is there; an open transaction holds a table back until it ends", nil}
		for _, b := range late.Behind {
			p.waiting = append(p.waiting, waiting{b.Partition.Topic, b.Partition.Partition, b.Want, b.Have})
		}
		return p
	case errors.Is(err, context.DeadlineExceeded):
		return &problem{http.StatusGatewayTimeout, err.Error(), "the brokers did not say in time where the table ends", nil}
	}
	return f.internal(err)
}

func (f *face) get(v *views.View, key string) (any, *problem) {
	b, found, err := v.GetBytes(key)
	if err != nil {
		return nil, f.internal(err)
	}
	if !found {
		return nil, &problem{http.StatusNotFound, fmt.Sprintf("view %s has no key %q", v.Name(), key), "with wait=5s the view first catches up with its table", nil}
	}
	decoded, err := v.Decode(key, b)
	if err != nil {
		return nil, f.internal(err)
	}
	out, _, err := newRow(decoded)
	if err != nil {
		return nil, f.internal(err)
	}
	return out, nil
}

type pageJSON struct {
	View  string `json:"view"`
	Table string `json:"table"`
	Rows  []row  `json:"rows"`
	Next  string `json:"next,omitempty"` // cursor of the following page
}

var errFull = errors.New("the page is full")

func (f *face) page(v *views.View, q views.Query) (any, *problem) {
	page := pageJSON{View: v.Name(), Table: v.Table(), Rows: []row{}}
	limit, size := q.Limit, 0
	q.Limit = limit + 1 // to learn whether there is more
	err := v.Iterate(q, func(r views.Row) error {
		if len(page.Rows) == limit || size >= maxPageBytes {
			page.Next = encode64(r.Key)
			return errFull
		}
		out, n, err := newRow(r)
		size += n
		page.Rows = append(page.Rows, out)
		return err
	})
	if err != nil && !errors.Is(err, errFull) {
		return nil, f.internal(err)
	}
	return page, nil
}

// internal is for errors that the client did not cause.
func (f *face) internal(err error) *problem {
	if errors.Is(err, views.ErrClosed) {
		return &problem{http.StatusServiceUnavailable, "the view is closed: the process is stopping", "ask another instance, or again", nil}
	}
	f.Log.Error("http: read a view", "err", err)
	return &problem{http.StatusInternalServerError, err.Error(), "", nil}
}
