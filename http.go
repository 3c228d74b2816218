package kappa

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/seed-73111be4/kappa/internal/engine"
	"github.com/seed-73111be4/kappa/internal/metrics"
	"github.com/seed-73111be4/kappa/internal/web"
	"github.com/seed-73111be4/kappa/state"
	"github.com/seed-73111be4/kappa/topology"
	"github.com/seed-73111be4/kappa/views"
)

// face is the HTTP face of a process: it answers from before the engine runs, so
// that a slow start can be watched.
type face struct {
	server *web.Server
	past   *Archiver // nil where none runs in the process
	engine atomic.Pointer[engine.Engine]
	views  atomic.Pointer[[]*views.View] // never nil
}

var errStarting = errors.New("the groups are starting")

// serve opens a face. past is an archiver that runs in the process, too, or nil; idle
// says that no engine will run.
func (c *Client) serve(ctx context.Context, addr string, past *Archiver, idle bool) (*face, error) {
	f := &face{past: past}
	f.views.Store(new([]*views.View))
	sources := metrics.Sources{Engine: f.stats, Views: f.viewStats}
	if past != nil {
		sources.Archiver = past.core.Stats
	}
	registry := metrics.New(sources)
	handler := web.NewHandler(web.Config{
		Views:   func() []*views.View { return *f.views.Load() },
		Ready:   func() error { return f.ready(idle) },
		Metrics: registry.Handler(),
		Log:     c.log,
	})
	var err error
	if f.server, err = web.Listen(ctx, addr, handler, c.log); err != nil {
		return nil, err
	}
	c.log.Info("serving metrics, health and views", "url", f.server.URL())
	return f, nil
}

func (f *face) ready(idle bool) error {
	var err error
	if f.past != nil {
		err = f.past.Ready()
	}
	switch e := f.engine.Load(); {
	case e != nil:
		return errors.Join(err, e.Ready())
	case idle:
		return err
	}
	return errors.Join(err, errStarting)
}

func (f *face) stats() engine.Stats {
	if e := f.engine.Load(); e != nil {
		return e.Stats()
	}
	return engine.Stats{}
}

func (f *face) viewStats() []views.Stats {
	list := *f.views.Load()
	stats := make([]views.Stats, len(list))
	for i, v := range list {
		stats[i] = v.Stats()
	}
	return stats
}

// open opens a view of every group's table.
func (f *face) open(ctx context.Context, c *Client, db state.DB, plans []*topology.Plan) error {
	var list []*views.View
	for _, p := range plans {
		if p.Table == nil {
			continue
		}
		v, err := views.Open(ctx, views.Config{Logs: c.cluster, Table: p.Group, DB: db, Codec: p.Table.Codec, Log: c.log})
		if err != nil {
			return errors.Join(err, closeAll(list))
		}
		list = append(list, v)
	}
	f.views.Store(&list)
	return nil
}

// close stops answering and closes the views.
func (f *face) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	list := *f.views.Load()
	return errors.Join(f.server.Shutdown(ctx), closeAll(list))
}

func closeAll(list []*views.View) error {
	var errs []error
	for _, v := range list {
		errs = append(errs, v.Close())
	}
	return errors.Join(errs...)
}
