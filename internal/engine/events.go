package engine

import (
	"time"

	"github.com/seed-73111be4/kappa/internal/engine/task"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/sources"
	"github.com/seed-73111be4/kappa/state/changelog"
	"github.com/seed-73111be4/kappa/topology"
)

// An event is something that a worker is told. Outcomes answer the effects of the
// same name; the others come from the member, the fetcher and the clock.
type event any

type (
	// evTick says that time has passed.
	evTick struct{}

	// evBatch brings fetched records. release gives their memory back.
	evBatch struct {
		part    record.Partition
		epoch   uint64
		records []record.Record
		next    int64
		bytes   int64
		release func()
	}
	// evInputError says that a partition cannot be read on.
	evInputError struct {
		part  record.Partition
		epoch uint64
		err   error
	}
	// evInputEnd says that a partition has come to its bound.
	evInputEnd struct {
		part  record.Partition
		epoch uint64
	}

	// evAssigned follows every rebalance: the fence is valid for the tasks held,
	// and tasks are added, or get more topics.
	evAssigned struct {
		fence kafka.Fence
		tasks []kafka.TaskTopics
	}
	// evRevoked asks for tasks back; done is called at a transaction boundary,
	// once nothing of them can change any more.
	evRevoked struct {
		tasks []int32
		done  func()
	}
	// evLost says that tasks have gone already.
	evLost struct{ tasks []int32 }
	// evDrain asks to commit what is open, give up all tasks and stop.
	evDrain struct{}
	// evVisit asks to run a visitor over all keys of the running tasks.
	evVisit struct {
		plan *topology.VisitorPlan
		meta any
		done func(keys int64, err error)
	}

	// evRestored answers doRestore.
	evRestored struct {
		partition int32
		epoch     uint64
		core      *task.Task
		err       error
	}
	// evStored answers doStore.
	evStored struct {
		partition int32
		state     *changelog.State
		flush     *changelog.Flush
		err       error
	}

	evInit    struct{ kafka.Result }
	evRebuilt struct{ err error }
	evFlushed struct {
		acks []record.Position
		kafka.Result
	}
	evOffsets struct{ kafka.Result }
	evEnded   struct{ kafka.Result }
)

// An effect is something that a worker asks of its surroundings. The runner
// carries effects out in order. Those with an outcome are answered by an event
// before the worker goes on.
type effect any

type (
	// doInit asks for the producer id, after a wait; outcome evInit.
	doInit struct{ wait time.Duration }
	// doRebuild asks for a new producer; outcome evRebuilt.
	doRebuild struct{ wait time.Duration }
	// doFlush waits until everything produced is acknowledged; outcome evFlushed.
	doFlush struct{}
	// doOffsets adds positions to the transaction; outcome evOffsets.
	doOffsets struct {
		fence     kafka.Fence
		positions []record.Position
	}
	// doEnd ends the transaction; outcome evEnded.
	doEnd struct{ commit bool }

	// doReady says that the producer has been initialized for the first time.
	doReady struct{}
	// doRestore asks for a task's state; answered later by evRestored.
	doRestore struct {
		partition int32
		epoch     uint64
		topics    []string
	}
	// doSeek starts fetching a task's inputs at exact offsets.
	doSeek struct{ seeks []sources.Seek }
	// doStop stops fetching partitions.
	doStop struct{ parts []record.Partition }
	// doStore writes committed state to disk in the background; answered by
	// evStored.
	doStore struct {
		partition int32
		state     *changelog.State
		flush     *changelog.Flush
	}
	// doClose gives a task's state up; flush writes what is committed first.
	doClose struct {
		partition int32
		state     *changelog.State
		flush     bool
	}
	// doAbandon ends the restore of a task that the worker no longer holds.
	doAbandon struct {
		partition int32
		epoch     uint64
	}
	// doCall runs a function of whoever sent an event.
	doCall struct{ fn func() }
	// doPurge deletes records of the group's own loop behind committed positions.
	doPurge struct{ before map[record.Partition]int64 }
	// doTaskFailed says that a task stands still.
	doTaskFailed struct {
		partition int32
		err       error
	}
	// doNote tells the log why a transaction does not commit.
	doNote struct{ kafka.Result }
	// doWarnPlace tells the log that a key is not where the group's hasher would
	// have put it.
	doWarnPlace struct {
		part record.Partition
		key  string
		want int32
	}
	// doFatal says that the worker cannot go on.
	doFatal struct{ err error }
	// doStopped says that the worker has drained.
	doStopped struct{}
)
