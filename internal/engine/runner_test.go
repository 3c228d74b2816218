package engine

import (
	"testing"
	"time"
)

// Whoever looks at a worker sees what it has done within moments, also where nothing
// happens afterwards.
func TestAWorkerWakesToShowWhatItHasDone(t *testing.T) {
	now := time.Unix(1000, 0)
	r := &runner{worker: newWorker(workerConfig{}), clock: func() time.Time { return now }}
	r.publish()
	if got := r.wake(now); got != idleMove {
		t.Errorf("with nothing to show it sleeps %v, not %v", got, idleMove)
	}
	now = now.Add(publishEvery / 4)
	shown := r.snapshot.Load()
	r.publish() // too soon
	if r.snapshot.Load() != shown {
		t.Error("published too often")
	}
	if got, want := r.wake(now), publishEvery*3/4; got != want {
		t.Errorf("with something to show it sleeps %v, not %v", got, want)
	}
	now = now.Add(publishEvery)
	r.publish()
	if r.snapshot.Load() == shown || r.wake(now) != idleMove {
		t.Error("not published")
	}
}
