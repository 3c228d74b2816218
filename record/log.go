package record

import "context"

// LogSource opens the logs of a cluster for readers that follow one partition by
// position: restores, views, standbys. It is safe for concurrent use.
type LogSource interface {
	// Ends returns the limits of the partition's log now.
	Ends(ctx context.Context, p Partition) (Ends, error)
	// Open returns a reader that starts at offset from. It does no I/O yet.
	Open(p Partition, from int64) LogReader
}

// LogReader reads one partition, committed records only. It has one owner.
type LogReader interface {
	// Next returns what follows. It blocks until there is something to say or ctx
	// ends; a batch without records but with a larger Next is progress. Slices in
	// the batch are the caller's. An offset out of range is an error that wraps
	// ErrOffsetOutOfRange; the reader retries what a retry can mend.
	Next(ctx context.Context) (Batch, error)
	// Close releases the reader; a Next under way returns.
	Close()
}
