package task_test

import (
	"fmt"
	"testing"

	"github.com/lovoo/goka"

	"github.com/seed-73111be4/kappa/processors"
	"github.com/seed-73111be4/kappa/topology"
)

func TestACallbackMayWriteALot(t *testing.T) {
	const n = 20_000 // twenty thousand squared would be felt
	r := newRig(t, topology.Store("s", str), topology.Input("few", str, func(ctx goka.Context, _ any) {
		s := processors.FromContext(ctx).Store("s")
		for i := range 40 {
			s.Set(fmt.Sprint("y", i), "3")
		}
		same(t, "of the last callback", []any{s.Get("1"), s.Get("x0"), s.Get("y39")}, []any{"2", nil, "3"})
	}), input(func(ctx goka.Context, _ any) {
		s := processors.FromContext(ctx).Store("s")
		for i := range 2 * n {
			key := fmt.Sprint(i % n)
			if i >= n && s.Get(key) != "1" {
				t.Fatalf("key %s has %v", key, s.Get(key))
			}
			s.Set(key, fmt.Sprint(1+i/n))
			if i%3 == 0 {
				s.Delete("x" + key)
			}
		}
		for i := range n {
			if key := fmt.Sprint(i); s.Get(key) != "2" || s.Get("x"+key) != nil {
				t.Fatalf("key %s has %v", key, s.Get(key))
			}
		}
	}))
	r.step("in", "k", "v")
	r.step("few", "k", "v")
	r.task.Abort()
	r.step("in", "k", "v")
	same(t, "in the changelog", len(r.commit()), 1+n+2*(n/3+1))
}
