package task

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
)

var (
	// ErrNoKey is why a record without key cannot be processed by a group that
	// keeps keyed state.
	ErrNoKey = errors.New("the record has no key and the group keeps state by key; give the records keys, or name a DeadLetter topic to set them aside")
	// ErrTooLarge says that a record to write is larger than its topic takes.
	ErrTooLarge = errors.New("record too large")
	// ErrPanic wraps what a callback panicked with.
	ErrPanic  = errors.New("callback panicked")
	errFailed = errors.New("the callback called Fail without an error")
	// ErrDeferred says that a callback deferred the commit and did not release it
	// in time.
	ErrDeferred = errors.New("a callback deferred the commit (DeferCommit) and did not release it before half of the transaction timeout")
)

// failure is what Fail panics with, to leave the callback.
type failure struct{ err error }

// panicError is a panic of a callback. It wraps ErrPanic and the value, where that
// is an error.
type panicError struct {
	value any
	at    string // where, as "file.go:12"
	stack []byte
}

// newPanicError is called while the panic is under way.
func newPanicError(value any) *panicError {
	return &panicError{value, panicSite(), debug.Stack()}
}

// panicSite returns where the user's code has panicked.
func panicSite() string {
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	panicking := false
	for {
		f, more := frames.Next()
		inside := strings.HasPrefix(f.Function, "runtime.")
		if panicking && !inside {
			return fmt.Sprintf("%s:%d", filepath.Base(f.File), f.Line)
		}
		panicking = panicking || f.Function == "runtime.gopanic"
		if !more {
			return "unknown place"
		}
	}
}

// Error has the whole stack; brief has not.
func (e *panicError) Error() string { return e.brief() + "\n" + string(e.stack) }

// brief is the same in every run, unlike a stack.
func (e *panicError) brief() string {
	return fmt.Sprintf("%v: %v (%s)", ErrPanic, e.value, e.at)
}

func (e *panicError) Unwrap() []error {
	if err, ok := e.value.(error); ok {
		return []error{ErrPanic, err}
	}
	return []error{ErrPanic}
}

// RecordError says which record could not be processed, and why.
type RecordError struct {
	Group     string
	Topic     string
	Partition int32
	Offset    int64
	Key       []byte
	Err       error
}

// Error names the record. What codecs quote of it is bounded: a log line is no
// place for megabytes.
func (e *RecordError) Error() string {
	return fmt.Sprintf("group %s: %s/%d offset %d key %s: %s",
		e.Group, e.Topic, e.Partition, e.Offset, shorten(fmt.Sprintf("%q", e.Key), 1<<10), shorten(e.Err.Error(), 16<<10))
}

// shorten takes the middle out of a text that is longer than limit.
func shorten(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	short := fmt.Sprintf("%s…[%d bytes]…%s", text[:limit/2], len(text)-limit, text[len(text)-limit/2:])
	return strings.ToValidUTF8(short, "")
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
