package integration

import (
	"context"
	"errors"
	"testing"

	"github.com/lovoo/goka"

	"github.com/seed-73111be4/kappa/internal/engine"
	"github.com/seed-73111be4/kappa/topology"
)

// raising counts per key; its visitor adds a thousand times the meta value.
func raising(group, in string, visited func(key string)) *topology.Def {
	return counting(group, in, topology.Visitor("raise", func(ctx goka.Context, meta any) {
		visited(ctx.Key())
		n, _ := ctx.Value().(int64)
		ctx.SetValue(n + 1000*meta.(int64))
	}))
}

func TestVisitsUnderLoadTouchEveryKeyOnce(t *testing.T) {
	each(t, func(r *rig) {
		const n, keys = 4000, 400
		in, group := r.topic("in", 4), r.name("raise")
		recs := numbers(in, 2*n, keys)
		r.emit(recs[:n]...)
		e := r.start(r.fast(r.t.TempDir()), raising(group, in, func(string) {}))
		r.processed(n, group, e)
		r.emit(recs[n:]...)
		got, err := e.Visit(r.ctx, group, "raise", int64(1))
		if err != nil || got != keys {
			r.t.Fatalf("visited %d keys of %d: %v", got, keys, err)
		}
		r.processed(2*n, group, e)
		r.stop(e)
		r.equal("table", r.table(group+"-table"), raised(2*n, keys))
	})
}

// raised is the fold of numbers with a visit of every key.
func raised(n, keys int) map[string]string {
	m := countsOf(n, keys)
	for k, v := range m {
		m[k] = add(v, 1000)
	}
	return m
}

// A visit that a crash ends answers; what it had not committed has not happened.
func TestAVisitThatACrashEndsIsAllOrNothingPerKey(t *testing.T) {
	each(t, func(r *rig) {
		const n, keys = 2000, 2000
		in, group, dir := r.topic("in", 2), r.name("raise"), r.t.TempDir()
		r.emit(numbers(in, n, keys)...)
		reached := make(chan struct{})
		release := make(chan struct{})
		seen := 0
		e := r.start(r.oneWorker(dir), raising(group, in, func(string) {
			if seen++; seen == keys/2 {
				close(reached)
				<-release
			}
		}))
		r.processed(n, group, e)
		answered := make(chan error, 1)
		go func() {
			_, err := e.Visit(context.Background(), group, "raise", int64(1))
			answered <- err
		}()
		<-reached
		dead := make(chan struct{})
		go func() { defer close(dead); e.Kill() }()
		close(release)
		<-dead
		if err := <-answered; !errors.Is(err, engine.ErrVisitAborted) {
			r.t.Fatalf("the visit said %v", err)
		}
		e = r.start(r.oneWorker(dir), raising(group, in, func(string) {}))
		if got, err := e.Visit(r.ctx, group, "raise", int64(0)); err != nil {
			r.t.Fatalf("visited %d: %v", got, err)
		}
		r.stop(e)
		for k, v := range r.table(group + "-table") {
			if v != "1" && v != "1001" {
				r.t.Fatalf("%s is %s", k, v)
			}
		}
	})
}

func (r *rig) oneWorker(dir string) engine.Options {
	o := r.fast(dir)
	o.Workers = 1
	return o
}

// A visitor that nobody defined is named.
func TestVisitsNeedAVisitor(t *testing.T) {
	each(t, func(r *rig) {
		in, group := r.topic("in", 1), r.name("count")
		e := r.start(r.fast(""), counting(group, in))
		if _, err := e.Visit(r.ctx, group, "raise", nil); err == nil {
			r.t.Error("a visit of nothing succeeds")
		}
		r.stop(e)
	})
}
