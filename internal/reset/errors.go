package reset

import (
	"errors"
	"fmt"
	"strings"

	"github.com/seed-73111be4/kappa/archive"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/record"
)

var (
	// ErrUnknown says that nothing is known of a group: it has committed nothing, and no
	// process of this version has run it.
	ErrUnknown = errors.New("the group has not run yet, so there is nothing to reset")
	// ErrNotInKafka says that an input is no topic of the cluster.
	ErrNotInKafka = errors.New("the cluster has no such topic: a group that reads it from an archive alone cannot be reset; run it under another name, and it begins at the beginning")
	// ErrMoved says that the group has run, or was reset, since the plan was made.
	ErrMoved = errors.New("the group has moved since the plan was made: make it again")
	// ErrNotMade says that another reset of the group came first, or that the brokers
	// have ended the transaction. Nothing has changed.
	ErrNotMade = errors.New("the reset was not made, and nothing has changed: try again")
)

// BusyError says that a group has members: their work would fight the reset.
type BusyError struct {
	Group   string
	Members []kafka.GroupMember
}

// Error names the members, and the way to make each leave.
func (e *BusyError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "group %s has %d members: stop them first, and have those that have stopped leave", e.Group, len(e.Members))
	for _, m := range e.Members {
		if m.Instance == "" {
			fmt.Fprintf(&b, "\n  %s (client %s at %s): stop its process", m.Member, m.Client, strings.TrimPrefix(m.Host, "/"))
			continue
		}
		fmt.Fprintf(&b, "\n  %s (client %s at %s): kappa leave %s --group %s", m.Instance, m.Client, strings.TrimPrefix(m.Host, "/"), m.Instance, e.Group)
	}
	return b.String()
}

// RangeError says that an offset is neither in Kafka nor in the archive.
type RangeError struct {
	Partition  record.Partition
	Offset     int64
	Start, End int64 // what there is
	Archive    bool  // whether an archive was asked
}

// Error names what there is.
func (e *RangeError) Error() string {
	where := "Kafka (no archive was asked: name its --bucket)"
	if e.Archive {
		where = "the archive and Kafka together"
	}
	return fmt.Sprintf("%s: offset %d does not exist: there are offsets %d to %d in %s", e.Partition, e.Offset, e.Start, e.End, where)
}

// Is makes the error a record.ErrOffsetOutOfRange.
func (e *RangeError) Is(target error) bool { return target == record.ErrOffsetOutOfRange }

// GapError says that offsets on the way are lost: the group would stop before them.
type GapError struct {
	Partition record.Partition
	From, To  int64 // [From, To)
	Why       string
}

// Error names the range, and where to begin instead.
func (e *GapError) Error() string {
	return fmt.Sprintf("%s: offsets %d to %d are lost (%s), so the group would not get over them: begin behind them with --to-offset %s:%d=%d",
		e.Partition, e.From, e.To-1, e.Why, e.Partition.Topic, e.Partition.Partition, e.To)
}

// Is makes the error an archive.ErrGap.
func (e *GapError) Is(target error) bool { return target == archive.ErrGap }
