package archive

import (
	"errors"
	"fmt"

	"github.com/seed-73111be4/kappa/record"
)

var (
	// ErrNotArchived says that a log has no manifest: nothing of it was ever archived.
	ErrNotArchived = errors.New("not archived")
	// ErrOutOfRange says that an offset is below the archive's beginning or above its
	// end; see RangeError. It is also a record.ErrOffsetOutOfRange.
	ErrOutOfRange = errors.New("offset outside of the archive")
	// ErrGap says that a range of offsets was lost before it could be archived; see
	// GapError.
	ErrGap = errors.New("gap in the archive")
	// ErrCorrupt says that an object is not what was written; see CorruptError.
	ErrCorrupt = errors.New("corrupt")
	// ErrMissing says that an object is gone that the manifest counts on; such errors
	// are ErrCorrupt, too.
	ErrMissing = errors.New("missing")
	// ErrFenced says that another writer has extended the chain of manifests: this one
	// must Reload and throw away the segments that it has not committed.
	ErrFenced = errors.New("fenced by another writer")
	// ErrUnknownOutcome says that a manifest may or may not have been created: the
	// writer must Reload, which tells.
	ErrUnknownOutcome = errors.New("outcome unknown")
	// ErrUnconditional says that the bucket creates objects whether or not they exist:
	// nothing may be archived there.
	ErrUnconditional = errors.New("the bucket passes over the condition of a create")
	// ErrContradiction says that what a writer was handed cannot be one log: batches
	// that overlap, an aborted transaction that was committed.
	ErrContradiction = errors.New("contradiction")
)

// RangeError names an offset outside of the archive.
type RangeError struct {
	Log        Log
	Offset     int64
	Start, End int64 // what the archive holds: [Start, End)
	Origin     int64 // where archiving began; below Start it was removed by retention
}

// Error names the log, the offset and what there is.
func (e *RangeError) Error() string {
	what := fmt.Sprintf("%s: offset %d is outside of the archive, which holds [%d, %d)", e.Log, e.Offset, e.Start, e.End)
	switch {
	case e.Offset < e.Origin:
		return what + fmt.Sprintf(": it was never archived; start at %d or later", e.Start)
	case e.Offset < e.Start:
		return what + fmt.Sprintf(": the archive's retention removed it; start at %d or later", e.Start)
	}
	return what
}

// Is makes the error an ErrOutOfRange and a record.ErrOffsetOutOfRange.
func (e *RangeError) Is(target error) bool {
	return target == ErrOutOfRange || target == record.ErrOffsetOutOfRange
}

// GapError names offsets that the archive has not and knows it.
type GapError struct {
	Log Log
	Gap Gap
}

// Error names the range.
func (e *GapError) Error() string {
	return fmt.Sprintf("%s: offsets [%d, %d) were lost before they were archived (%s); continue at %d to leave them out",
		e.Log, e.Gap.From, e.Gap.To, e.Gap.Reason, e.Gap.To)
}

// Is makes the error an ErrGap.
func (e *GapError) Is(target error) bool { return target == ErrGap }

// CorruptError names an object that is not what was written, or is gone.
type CorruptError struct {
	Object  string // its key
	At      int64  // byte offset in the object, -1 for all of it
	Reason  string
	Missing bool
	Start   int64 // the offsets of the log that are in danger: [Start, End); both -1: unknown
	End     int64

	partial bool // a batch that is cut off
}

// Error names the object, the place and the offsets in danger.
func (e *CorruptError) Error() string {
	text := e.Reason
	if e.At >= 0 {
		text = fmt.Sprintf("at byte %d: %s", e.At, text)
	}
	if e.Object != "" {
		text = e.Object + ": " + text
	}
	if e.Start >= 0 {
		text += fmt.Sprintf(" (offsets [%d, %d)); heal it from Kafka while Kafka still has them", e.Start, e.End)
	}
	return text
}

// Is makes the error an ErrCorrupt, and where the object is gone an ErrMissing.
func (e *CorruptError) Is(target error) bool {
	return target == ErrCorrupt || e.Missing && target == ErrMissing
}

// FencedError names who has created the manifest that a writer wanted to create.
type FencedError struct {
	Log    Log
	Number uint64
	By     WriterID // zero where it cannot be read
}

// Error names the manifest and the other writer.
func (e *FencedError) Error() string {
	return fmt.Sprintf("%s: manifest %d is another writer's (%s); reload and continue from its end", e.Log, e.Number, e.By)
}

// Is makes the error an ErrFenced.
func (e *FencedError) Is(target error) bool { return target == ErrFenced }

// corrupt makes an error about all of an object that stands for unknown offsets.
func corrupt(at int64, format string, args ...any) *CorruptError {
	return &CorruptError{At: at, Reason: fmt.Sprintf(format, args...), Start: -1, End: -1}
}
