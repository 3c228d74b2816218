package engine

import (
	"fmt"

	"github.com/seed-73111be4/kappa/record"
)

func showEvent(ev event) string {
	switch e := ev.(type) {
	case evTick:
		return "a tick"
	case *evBatch:
		return fmt.Sprintf("%d records of %s to %d (epoch %d)", len(e.records), e.part, e.next, e.epoch)
	case evAssigned:
		return fmt.Sprintf("assigned %v generation %d", tasksOf(e.tasks), e.fence.Generation)
	case evRevoked:
		return fmt.Sprintf("revoked %v", e.tasks)
	case evLost:
		return fmt.Sprintf("lost %v", e.tasks)
	case evRestored:
		return fmt.Sprintf("restored %d (epoch %d, %v)", e.partition, e.epoch, e.err)
	case evStored:
		return fmt.Sprintf("stored %d (%v)", e.partition, e.err)
	case evInit:
		return "init " + e.Result.String()
	case evFlushed:
		return "flushed " + e.Result.String()
	case evOffsets:
		return "offsets " + e.Result.String()
	case evEnded:
		return "ended " + e.Result.String()
	}
	return fmt.Sprintf("%T", ev)
}

func showEffect(e effect) string {
	switch e := e.(type) {
	case doOffsets:
		return fmt.Sprintf("doOffsets generation %d member %s %v", e.fence.Generation, e.fence.Member, e.positions)
	case doSeek:
		var parts []record.Position
		for _, s := range e.seeks {
			parts = append(parts, record.Position{Topic: s.Partition.Topic, Partition: s.Partition.Partition, Offset: s.Offset})
		}
		return fmt.Sprintf("doSeek %v", parts)
	case doRestore:
		return fmt.Sprintf("doRestore %d (epoch %d)", e.partition, e.epoch)
	case doClose:
		return fmt.Sprintf("doClose %d flush %v", e.partition, e.flush)
	case doEnd:
		return fmt.Sprintf("doEnd commit %v", e.commit)
	case doNote:
		return "doNote " + e.Result.String()
	case doTaskFailed:
		return fmt.Sprintf("doTaskFailed %d: %v", e.partition, e.err)
	}
	return fmt.Sprintf("%T", e)
}
