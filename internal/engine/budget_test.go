package engine

import "testing"

// The shares leave an eighth of the memory where each worker has some for itself,
// and no option that was set is changed.
func TestSharesStayWithinTheMemory(t *testing.T) {
	for _, memory := range []int64{64 << 20, 128 << 20, 512 << 20, 8 << 30} {
		for _, workers := range []int{1, 2, 8} {
			for _, groups := range []int{1, 3} {
				o := Options{MemoryBytes: memory, Workers: workers}
				o.share(groups)
				n := int64(workers * groups)
				sum := o.stateBytes() + o.CacheBytes + o.ArchiveBytes + n*(o.QueueBytes+o.OverlayBytes+2*o.outputBytes) + 2*int64(groups)*o.fetchBytes
				if memory/n >= 32<<20 && sum > memory/8*7 {
					t.Errorf("%d workers of %d groups in %d MiB: the shares add up to %d MiB", workers, groups, memory>>20, sum>>20)
				}
			}
		}
	}
	o := Options{MemoryBytes: 1 << 30, Workers: 2, CacheBytes: 1, QueueBytes: 2, OverlayBytes: 3}
	if o.share(1); o.CacheBytes != 1 || o.QueueBytes != 2 || o.OverlayBytes != 3 {
		t.Errorf("%+v", o)
	}
}

func TestAWorkersOutputEndsItsTransactionEarly(t *testing.T) {
	w := newWorker(workerConfig{overlayBytes: 100, batchBytes: 1 << 20, commitInterval: 1 << 40, txnTimeout: 1 << 41})
	w.txn = transaction{open: true, emitted: 99}
	if w.commitDue() {
		t.Fatal("too early")
	}
	w.txn.emitted = 100
	if !w.commitDue() {
		t.Error("the output of a transaction grows without bound")
	}
}
