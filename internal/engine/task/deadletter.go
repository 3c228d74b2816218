package task

import (
	"strconv"

	"github.com/seed-73111be4/kappa/record"
)

// Headers that a dead letter carries beside the record's own
// (docs/format/dead-letter.md).
const (
	HeaderGroup     = "kappa-group"
	HeaderTopic     = "kappa-topic"
	HeaderPartition = "kappa-partition"
	HeaderOffset    = "kappa-offset"
	HeaderTimestamp = "kappa-timestamp"
	HeaderError     = "kappa-error"
)

// maxErrorHeader bounds the error text: a stack trace must not make a letter that
// no topic takes.
const maxErrorHeader = 8 << 10

// deadLetter returns the record as it came, with its position and the error. It
// copies what it keeps: the input may be gone before the transaction ends.
func deadLetter(group, topic string, r *record.Record, cause error) Out {
	c := r.Clone()
	text := cause.Error()
	if len(text) > maxErrorHeader {
		text = text[:maxErrorHeader]
	}
	return Out{
		Topic: topic, Key: c.Key, Value: c.Value, Timestamp: r.Timestamp,
		Headers: append(c.Headers,
			record.Header{Key: HeaderGroup, Value: []byte(group)},
			record.Header{Key: HeaderTopic, Value: []byte(r.Topic)},
			record.Header{Key: HeaderPartition, Value: strconv.AppendInt(nil, int64(r.Partition), 10)},
			record.Header{Key: HeaderOffset, Value: strconv.AppendInt(nil, r.Offset, 10)},
			record.Header{Key: HeaderTimestamp, Value: strconv.AppendInt(nil, r.Timestamp, 10)},
			record.Header{Key: HeaderError, Value: []byte(text)},
		),
	}
}
