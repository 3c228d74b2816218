package task

import (
	"errors"
	"fmt"
)

var (
	// ErrNoKey is why a record without key cannot be processed by a group that
	// keeps keyed state.
	ErrNoKey = errors.New("the record has no key and the group keeps state by key; give the records keys, or name a DeadLetter topic to set them aside")
	// ErrTooLarge says that a record to write is larger than its topic takes.
	ErrTooLarge = errors.New("record too large")
	// ErrPanic wraps what a callback panicked with.
	ErrPanic = errors.New("callback panicked")
	// ErrDeferred says that a callback deferred the commit and did not release it
	// in time.
	ErrDeferred = errors.New("a callback deferred the commit (DeferCommit) and did not release it before half of the transaction timeout")
)

// RecordError says which record could not be processed, and why.
type RecordError struct {
	Group     string
	Topic     string
	Partition int32
	Offset    int64
	Key       []byte
	Err       error
}

// Error names the record.
func (e *RecordError) Error() string {
	return fmt.Sprintf("group %s: %s/%d offset %d key %q: %v", e.Group, e.Topic, e.Partition, e.Offset, e.Key, e.Err)
}

// Unwrap returns the cause.
func (e *RecordError) Unwrap() error { return e.Err }

// storeError marks an error of the store: it is no fault of the record, so it
// never meets the dead-letter policy.
type storeError struct{ error }

func (e storeError) Unwrap() error { return e.error }

func isStoreError(err error) bool {
	var s storeError
	return errors.As(err, &s)
}
