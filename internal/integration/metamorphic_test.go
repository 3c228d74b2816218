package integration

import (
	"testing"
	"time"

	"github.com/seed-73111be4/kappa/internal/engine"
)

// Runs over the same input that differ in what must not matter end alike: in the
// table, the output and the counts.
func TestRunsThatDifferInWhatMustNotMatterEndAlike(t *testing.T) {
	each(t, func(r *rig) {
		const n, keys = 1500, 37
		in := r.topic("in", 4)
		r.emit(numbers(in, n, keys)...)
		for name, run := range map[string]func(o *engine.Options, start func() *engine.Engine) []*engine.Engine{
			"a-record-a-commit": func(o *engine.Options, start func() *engine.Engine) []*engine.Engine {
				o.BatchBytes = 1
				return []*engine.Engine{start()}
			},
			"one-commit": func(o *engine.Options, start func() *engine.Engine) []*engine.Engine {
				o.CommitInterval = time.Second
				return []*engine.Engine{start()}
			},
			"one-worker": func(o *engine.Options, start func() *engine.Engine) []*engine.Engine {
				o.Workers = 1
				return []*engine.Engine{start()}
			},
			"three-owners": func(o *engine.Options, start func() *engine.Engine) []*engine.Engine {
				o.Workers = 1
				return []*engine.Engine{start(), start(), start()}
			},
			"little-memory": func(o *engine.Options, start func() *engine.Engine) []*engine.Engine {
				o.MemoryBytes, o.QueueBytes, o.OverlayBytes = 1, 2000, 500
				return []*engine.Engine{start()}
			},
			"crashed-and-restored": func(o *engine.Options, start func() *engine.Engine) []*engine.Engine {
				e := start()
				r.until("a commit", func() bool { return committed([]*engine.Engine{e}, e.Stats().Groups[0].Group) > 0 })
				e.Kill()
				o.Instance = e.Instance()
				return []*engine.Engine{start()}
			},
		} {
			group, out := r.name(name), r.topic(name, 2)
			o := r.fast("")
			es := run(&o, func() *engine.Engine {
				o.StateDir = r.t.TempDir()
				return r.start(o, announcing(group, in, out))
			})
			r.processed(n, group, es...)
			for _, e := range es {
				r.stop(e)
			}
			r.equal(name+": table", r.table(group+"-table"), countsOf(n, keys))
			r.equal(name+": output", r.announced(out), announcedBy(n, keys))
		}
	})
}
