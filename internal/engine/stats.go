package engine

import (
	"time"

	"github.com/seed-73111be4/kappa/record"
)

// Stats is a snapshot of an engine's figures. Counters only grow while the
// process lives; those of a task start at what its last commit recorded.
type Stats struct {
	Groups []GroupStats
}

// GroupStats are the figures of one group in this process.
type GroupStats struct {
	Group    string
	Instance string
	Workers  int
	Tasks    []TaskStats // held by this process, by partition

	Commits         int64                // committed transactions
	CommitRecords   int64                // input records in them
	CommitChanges   int64                // changelog records in them
	CommitEmits     int64                // emitted records in them
	MutedEmits      int64                // records for outputs that were dropped, for the group was reset with silent outputs
	Aborts          map[AbortCause]int64 // transactions that did not commit, every cause present
	CommitLatency   LatencyHistogram     // from the commit's begin to its answer
	Rebuilds        int64                // producers rebuilt after an unknown outcome or a fence
	ReplayedRecords int64                // changelog records replayed by restores
	Wipes           int64                // local stores that did not fit their topic and were rebuilt
	Restores        int64                // finished restores
	Purged          int64                // DeleteRecords calls behind committed positions
	ReplayLeft      int64                // input records of the whole group until it stands where it stood before its last reset
	ReplayGoal      int64                // input records that the reset has taken it back, 0 where there was none
	QueuedBytes     int64                // fetched and not yet committed
	Standbys        int                  // tasks of others that are followed
	StandbyRecords  int64                // changelog records taken from their logs since the restore of each
}

// TaskStats are the figures of one task.
type TaskStats struct {
	Partition int32
	Phase     TaskPhase
	Error     string           // why it failed, "" otherwise
	Counts    record.Counts    // committed records by fate since the group began
	Lag       map[string]int64 // records behind the high watermark, by input topic; -1 until known

	Restored, RestoreTotal int64         // records replayed so far, and about how many there are
	RestoreETA             time.Duration // 0 where unknown

	StateKeys, StateBytes int64 // cells in memory
	DirtyBytes            int64 // committed, not yet on disk
	StoreBytes            int64 // on disk, an estimate
}

// TaskPhase is where a task stands in its life.
type TaskPhase string

const (
	Restoring TaskPhase = "restoring"
	Running   TaskPhase = "running"
	Failed    TaskPhase = "failed"
)

// AbortCause says why a transaction did not commit.
type AbortCause string

const (
	AbortStale   AbortCause = "stale"   // the generation had passed
	AbortFenced  AbortCause = "fenced"  // another producer took the transactional id, or it timed out
	AbortProduce AbortCause = "produce" // a record could not be written
	AbortTask    AbortCause = "task"    // a record could not be processed
	AbortLost    AbortCause = "lost"    // a task was lost while its transaction was open
	AbortUnknown AbortCause = "unknown" // the outcome is not known
	AbortStop    AbortCause = "stop"    // the process stopped
)

// AbortCauses lists every cause.
func AbortCauses() []AbortCause {
	return []AbortCause{AbortStale, AbortFenced, AbortProduce, AbortTask, AbortLost, AbortUnknown, AbortStop}
}

// LatencyBounds are the upper bounds of a LatencyHistogram's buckets.
var LatencyBounds = [...]time.Duration{
	time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond,
	20 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond,
	500 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second,
}

// LatencyHistogram counts durations by bucket; the last bucket has no bound.
type LatencyHistogram struct {
	Buckets [len(LatencyBounds) + 1]int64 // not cumulative
	Sum     time.Duration
}

// Observe adds one duration.
func (h *LatencyHistogram) Observe(d time.Duration) {
	h.Sum += d
	for i, b := range LatencyBounds {
		if d <= b {
			h.Buckets[i]++
			return
		}
	}
	h.Buckets[len(LatencyBounds)]++
}
