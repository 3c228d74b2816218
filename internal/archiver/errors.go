package archiver

import (
	"errors"
	"fmt"

	"github.com/seed-73111be4/kappa/archive"
)

var (
	// ErrLost says that Kafka has deleted records before they were archived; see
	// LostError.
	ErrLost = errors.New("deleted before it was archived")
	// ErrDiverged says that the archive has what Kafka's log has lost, or another
	// record in its place; see DivergedError.
	ErrDiverged = errors.New("the archive and Kafka differ")
)

// LostError names offsets that Kafka deleted before they were archived.
type LostError struct {
	Log      archive.Log
	From, To int64 // [From, To)
}

// Error names the range and what can be done.
func (e *LostError) Error() string {
	return fmt.Sprintf("%s: offsets [%d, %d) were deleted by Kafka before they were archived: raise the topic's retention; --accept-gaps goes on behind them", e.Log, e.From, e.To)
}

// Is makes the error an ErrLost, and an archive.ErrGap.
func (e *LostError) Is(target error) bool { return target == ErrLost || target == archive.ErrGap }

// DivergedError names the first offset at which archive and Kafka tell different
// stories.
type DivergedError struct {
	Log    archive.Log
	Offset int64  // the first that differs
	End    int64  // where the archive ends
	Epoch  int32  // leader epoch of the archive's last batch
	Reason string // what differs
}

// Error names the offset and what can be done.
func (e *DivergedError) Error() string {
	return fmt.Sprintf("%s: from offset %d on the archive, which ends at %d in leader epoch %d, has what the log has not (%s): did an unclean election truncate it? archive heal --truncate makes the archive what the log is", e.Log, e.Offset, e.End, e.Epoch, e.Reason)
}

// Is makes the error an ErrDiverged.
func (e *DivergedError) Is(target error) bool { return target == ErrDiverged }
