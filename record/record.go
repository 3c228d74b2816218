// Package record defines what flows through kappa: a [Record] read from or
// written to one partition of a log, the [Position] that says how far a log has
// been read, and the functions that place keys on partitions.
//
// The package has no dependencies, starts no goroutine and holds no lock. A
// Record's byte slices belong to whoever produced it: a consumer that keeps one
// beyond the call that handed it over copies it ([Record.Clone]).
package record

import (
	"bytes"
	"slices"
	"time"
)

// Header is one header of a record. Keys may repeat; order is kept.
type Header struct {
	Key   string
	Value []byte
}

// Record is one record of a log.
//
// A nil Value is a tombstone: in a table it deletes the key. An empty, non-nil
// Value is a value. A nil Key is the absence of a key, an empty one is a key.
type Record struct {
	Topic       string
	Partition   int32
	LeaderEpoch int32 // -1 where unknown
	Offset      int64
	Timestamp   int64 // event time, milliseconds since the Unix epoch
	Key         []byte
	Value       []byte
	Headers     []Header
}

// Tombstone reports whether the record deletes its key from a table.
func (r *Record) Tombstone() bool { return r.Value == nil }

// Time returns the record's timestamp in UTC.
func (r *Record) Time() time.Time { return time.UnixMilli(r.Timestamp).UTC() }

// Clone returns a copy that shares no memory with r.
func (r *Record) Clone() Record {
	c := *r
	c.Key, c.Value = bytes.Clone(r.Key), bytes.Clone(r.Value)
	c.Headers = slices.Clone(r.Headers)
	for i := range c.Headers {
		c.Headers[i].Value = bytes.Clone(c.Headers[i].Value)
	}
	return c
}

// Batch is a run of records of one partition as a log reader returns it.
//
// Records that belong to a transaction are only ever returned together with all
// the other records that the transaction wrote to the partition, so a reader
// that applies a batch at once never shows half of a transaction.
type Batch struct {
	Records []Record
	// Next is the offset to read next. It passes control records, aborted
	// records and compacted ones, so it may exceed the last record's offset + 1.
	Next int64
	// LeaderEpoch is the leader epoch of what lies right before Next, a transaction
	// marker perhaps; -1 where unknown.
	LeaderEpoch int32
}

// Ends are the limits of one partition's log at one moment.
type Ends struct {
	TopicID       TopicID
	LeaderEpoch   int32 // of the current leader, -1 where unknown
	Start         int64 // first offset that still exists
	LastStable    int64 // first offset of the oldest open transaction, else HighWatermark
	HighWatermark int64 // first offset that is not yet replicated
}
