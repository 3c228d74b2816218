package integration

import (
	"syscall"
	"testing"
	"time"

	"github.com/seed-73111be4/kappa/internal/engine"
)

func TestAZombieOfAStaticMemberChangesNothing(t *testing.T) {
	each(t, func(r *rig) { r.zombie(false) })
}
func TestAZombieOfADynamicMemberChangesNothing(t *testing.T) {
	each(t, func(r *rig) { r.zombie(true) })
}

// zombie stops a process for longer than its session, while another takes its tasks
// over, and lets it go on with a transaction open and records in its hands.
func (r *rig) zombie(dynamic bool) {
	in, out, group := r.topic("in", 4), r.topic("out", 4), r.name("announce")
	const n, keys = 6000, 50
	o := r.fast(r.t.TempDir())
	o.Dynamic, o.SessionTimeout = dynamic, 3*time.Second
	e := r.start(o, announcing(group, in, out))
	z := r.instance(childRun{Group: group, In: in, Out: out, Dir: r.t.TempDir(), Dynamic: dynamic, Session: 3 * time.Second})
	r.running(e, group, 2)
	finish := r.feed(numbers(in, n, keys))
	r.until("work of the other", func() bool { return len(r.read(out)) > int(counts(e, group).Sum())+100 })
	z.signal(syscall.SIGSTOP)
	r.running(e, group, 4)
	before := stats(e, group).Commits
	r.until("progress", func() bool { return stats(e, group).Commits > before })
	z.signal(syscall.SIGCONT)
	r.running(e, group, 2) // it is a member again
	r.finished(finish, in, out, group, n, keys)
	if !z.Running() {
		r.t.Error("the zombie did not live on")
	}
	z.kill()
	r.stop(e)
}

// finished waits until n records have come through, and compares.
func (r *rig) finished(finish func(), in, out, group string, n, keys int) {
	r.t.Helper()
	finish()
	r.until("all output", func() bool { return len(r.read(out)) >= n })
	r.equal("output", r.announced(out), announcedBy(n, keys))
	r.equal("table", r.table(group+"-table"), countsOf(n, keys))
}

// A static member that dies after it has given tasks up and before it joins again
// gets them back from the broker when it restarts, without a rebalance: nobody else
// has them, and it must not think that another has.
func TestAKillBetweenARevokeAndTheRejoinOrphansNoTask(t *testing.T) {
	each(t, func(r *rig) {
		in, out, group, dir := r.topic("in", 4), r.topic("out", 4), r.name("announce"), r.t.TempDir()
		const n, keys = 4000, 50
		c := childRun{Group: group, In: in, Out: out, Dir: dir, Session: 15 * time.Second, DieAfterRevoke: true}
		first := r.instance(c)
		finish := r.feed(numbers(in, n, keys))
		r.until("work", func() bool { return len(r.read(out)) > 50 })
		o := r.fast(r.t.TempDir())
		o.SessionTimeout = 15 * time.Second
		e := r.start(o, announcing(group, in, out))
		if code := first.exits(patience); code != -1 {
			r.t.Fatalf("the first instance ended with %d, it should have been killed", code)
		}
		c.DieAfterRevoke = false
		second := r.instance(c)
		r.until("tasks on both", func() bool { return phases(e, group)[engine.Running] == 2 })
		r.finished(finish, in, out, group, n, keys)
		second.kill()
		r.stop(e)
	})
}
