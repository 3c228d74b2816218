package engine

import "sync"

// queued counts the bytes that were fetched for a worker and are not yet released,
// and whether its partitions are paused for having too many. The callbacks run
// with the lock held, so that a pause and the resume after it keep their order.
type queued struct {
	mu     sync.Mutex
	bytes  int64
	paused bool
}

// add counts bytes and calls pause where there are more than limit; again says
// that it was called before.
func (q *queued) add(n, limit int64, pause func(again bool)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.bytes += n
	if q.bytes > limit {
		pause(q.paused)
		q.paused = true
	}
}

// remove counts bytes off and calls resume once, where at most low are left.
func (q *queued) remove(n, low int64, resume func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.bytes -= n
	if q.paused && q.bytes <= low {
		q.paused = false
		resume()
	}
}

func (q *queued) load() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes
}
