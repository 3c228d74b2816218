// Package sources says where a group's input records come from.
//
// A [Source] delivers the committed records of topic-partitions, each from an exact
// offset on and in order. Positions are offsets of the topic whatever the records
// are kept in, so that a group may go from one source to another in the midst of a
// topic. sources/kafka reads from the brokers; the suite sourcetest says what every
// source owes its poller.
package sources

import (
	"context"
	"errors"

	"github.com/seed-73111be4/kappa/record"
)

// ErrClosed is returned by Poll after Close.
var ErrClosed = errors.New("the source is closed")

// ErrAway says that something which a source needs cannot be reached at present: try
// again.
var ErrAway = errors.New("not reachable at present")

// Seek starts a partition, or starts it anew, at an exact offset.
type Seek struct {
	Partition record.Partition
	Offset    int64 // of the first record wanted
	// Epoch is repeated in all that is fetched until the next Seek of the
	// partition, so that its owner can tell old from new.
	Epoch uint64
	// TopicID is compared with the topic's, where it is known.
	TopicID record.TopicID
}

// Fetched is what one poll brought of one partition.
type Fetched struct {
	Partition record.Partition
	Epoch     uint64 // of the Seek that it follows
	// Records are committed data records in order. They are valid until Release.
	Records []record.Record
	// Next is the offset up to which all is known: the position after this.
	Next int64
	// HighWatermark is the end of the partition as of the fetch, -1 where unknown.
	HighWatermark int64
	// Err says why the partition was stopped: it wraps record.ErrOffsetOutOfRange,
	// record.ErrUnknownTopic or record.ErrRecreated, is ErrEnd, or names what is missing
	// or cannot be read. It comes after all records before it.
	Err error

	lease Lease
}

// Lease is memory that is lent to a poller.
type Lease interface{ Release() }

// WithLease returns f with what its Release gives back.
func (f Fetched) WithLease(l Lease) Fetched {
	f.lease = l
	return f
}

// Release gives the records' memory back. It may be called once, from any
// goroutine; the records and their headers are dead afterwards.
func (f *Fetched) Release() {
	if f.lease != nil {
		f.lease.Release()
		f.lease, f.Records = nil, nil
	}
}

// Source reads partitions for one poller. Poll and Close belong to that poller; the
// other methods may be called from any goroutine, do not block, and hold from the
// next return of Poll on.
type Source interface {
	// Seek starts partitions at exact offsets. Whatever of them was fetched before is
	// dropped; a paused partition is paused no more.
	Seek(seeks ...Seek)
	// Stop ends the fetching of partitions.
	Stop(parts ...record.Partition)
	// Pause holds partitions back without losing what was fetched already.
	Pause(parts ...record.Partition)
	// Resume lets paused partitions go on.
	Resume(parts ...record.Partition)
	// Poll returns what was fetched, at most one item of a partition in a row. It
	// blocks until there is something, and returns ctx's error when ctx ends first.
	Poll(ctx context.Context) ([]Fetched, error)
	// Ends says where partitions begin and end: Start is the first offset that the
	// source can deliver. It may be called from any goroutine.
	Ends(ctx context.Context, parts ...record.Partition) (map[record.Partition]record.Ends, error)
	// OffsetsAt returns the offset of each partition's first committed
	// record whose timestamp is at least t (milliseconds since the epoch): where none is,
	// the high watermark. It may be called from any goroutine, and takes a while where
	// transactions have left markers that are younger than their records.
	OffsetsAt(ctx context.Context, t int64, parts ...record.Partition) (map[record.Partition]int64, error)
	// Close ends the source. Records that were handed out stay valid.
	Close()
}
