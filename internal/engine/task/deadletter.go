package task

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/state/changelog"
)

// Headers that a dead letter carries behind the record's own
// (docs/format/dead-letter.md).
const (
	HeaderDeadLetter = "kappa-dead-letter" // the version, and the first of them
	HeaderGroup      = "kappa-group"
	HeaderTopic      = "kappa-topic"
	HeaderPartition  = "kappa-partition"
	HeaderOffset     = "kappa-offset"
	HeaderTimestamp  = "kappa-timestamp"
	HeaderError      = "kappa-error"
)

const deadLetterVersion = "1"

// maxErrorHeader bounds the error text: a long one must not make a letter that no
// topic takes.
const maxErrorHeader = 8 << 10

// deadLetter returns the record as it came, with its position and the error. It
// copies what it keeps: the input may be gone before the transaction ends.
func deadLetter(group, topic string, r *record.Record, cause error) Out {
	c := r.Clone()
	return Out{
		Topic: topic, Key: c.Key, Value: c.Value, Timestamp: r.Timestamp,
		Headers: append(c.Headers,
			record.Header{Key: HeaderDeadLetter, Value: []byte(deadLetterVersion)},
			record.Header{Key: HeaderGroup, Value: []byte(group)},
			record.Header{Key: HeaderTopic, Value: []byte(r.Topic)},
			record.Header{Key: HeaderPartition, Value: strconv.AppendInt(nil, int64(r.Partition), 10)},
			record.Header{Key: HeaderOffset, Value: strconv.AppendInt(nil, r.Offset, 10)},
			record.Header{Key: HeaderTimestamp, Value: strconv.AppendInt(nil, r.Timestamp, 10)},
			record.Header{Key: HeaderError, Value: []byte(errorText(cause))},
		),
	}
}

// errorText is what the header says: no stack, for that differs from run to run,
// and the same input has to make the same bytes.
func errorText(err error) string {
	text := err.Error()
	var p *panicError
	if errors.As(err, &p) {
		text = p.brief()
	}
	if len(text) > maxErrorHeader {
		text = text[:maxErrorHeader]
	}
	return strings.ToValidUTF8(text, "")
}

// DeadLetter is a record that could not be processed, and why.
type DeadLetter struct {
	Record record.Record // as it came: topic, position and headers are its own
	Group  string
	Error  string
}

// ParseDeadLetter reads a record of a dead-letter topic. The result shares memory
// with it.
func ParseDeadLetter(r *record.Record) (DeadLetter, error) {
	n := len(r.Headers) - 1
	for n >= 0 && r.Headers[n].Key != HeaderDeadLetter {
		n--
	}
	switch {
	case n < 0:
		return DeadLetter{}, errors.New("it is no dead letter: it has no header " + HeaderDeadLetter)
	case string(r.Headers[n].Value) != deadLetterVersion:
		return DeadLetter{}, fmt.Errorf("it is a dead letter of version %q, this is version %s: %w", r.Headers[n].Value, deadLetterVersion, changelog.ErrVersion)
	}
	d := DeadLetter{Record: *r}
	d.Record.LeaderEpoch = -1
	d.Record.Headers = slices.Clip(r.Headers[:n])
	for _, h := range r.Headers[n+1:] {
		if err := d.read(h.Key, string(h.Value)); err != nil {
			return DeadLetter{}, fmt.Errorf("header %s: %w", h.Key, err)
		}
	}
	return d, nil
}

// read takes one header; one that it does not know is passed over.
func (d *DeadLetter) read(key, value string) (err error) {
	switch key {
	case HeaderGroup:
		d.Group = value
	case HeaderTopic:
		d.Record.Topic = value
	case HeaderPartition:
		var p int64
		p, err = strconv.ParseInt(value, 10, 32)
		d.Record.Partition = int32(p)
	case HeaderOffset:
		d.Record.Offset, err = strconv.ParseInt(value, 10, 64)
	case HeaderTimestamp:
		d.Record.Timestamp, err = strconv.ParseInt(value, 10, 64)
	case HeaderError:
		d.Error = value
	}
	return err
}
