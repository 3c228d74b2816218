package changelog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/seed-73111be4/kappa/record"
)

// Positions is what a task has committed. It travels as one record to the state
// topic in every transaction, so state and positions share one fate.
type Positions struct {
	Cluster     string            // id of the cluster that the positions are of
	Fingerprint string            // of the topology that wrote them
	Inputs      []record.Position // next offset to read, of every input of the task's partition
	StreamTime  int64             // largest timestamp seen, milliseconds
	Counts      record.Counts     // input records by fate since the group began
	Epoch       uint64            // commits of this task, one more each time
}

const (
	positionsMagic   = "kPos"
	positionsVersion = 1
)

// ErrVersion is returned for a durable record that a newer version has written.
var ErrVersion = errors.New("written by a newer version of kappa")

// Input returns the position of an input topic.
func (p *Positions) Input(topic string) (record.Position, bool) {
	return find(p.Inputs, topic)
}

func find(ps []record.Position, topic string) (record.Position, bool) {
	for _, p := range ps {
		if p.Topic == topic {
			return p, true
		}
	}
	return record.Position{}, false
}

// Clone returns a copy that shares no memory with p.
func (p *Positions) Clone() *Positions {
	c := *p
	c.Inputs = slices.Clone(p.Inputs)
	return &c
}

// Append appends the durable form of p (docs/format/positions.md).
func (p *Positions) Append(dst []byte) []byte {
	dst = append(dst, positionsMagic...)
	dst = append(dst, positionsVersion)
	dst = appendString(dst, p.Cluster)
	dst = appendString(dst, p.Fingerprint)
	dst = binary.AppendVarint(dst, p.StreamTime)
	dst = binary.AppendUvarint(dst, p.Epoch)
	dst = binary.AppendUvarint(dst, uint64(len(p.Counts)))
	for _, n := range p.Counts {
		dst = binary.AppendVarint(dst, n)
	}
	return appendPositions(dst, p.Inputs)
}

// ParsePositions reads what Append wrote. Anything else is an error; a later
// version's record wraps ErrVersion.
func ParsePositions(b []byte) (*Positions, error) {
	d := decoder{b: b}
	d.header(positionsMagic, positionsVersion)
	p := &Positions{
		Cluster:     d.string(),
		Fingerprint: d.string(),
		StreamTime:  d.varint(),
		Epoch:       d.uvarint(),
	}
	if n := d.uvarint(); n > uint64(len(p.Counts)) {
		d.fail("%d fates, this version knows %d", n, len(p.Counts))
	} else {
		for i := range n {
			p.Counts[i] = d.varint()
		}
	}
	p.Inputs = d.positions()
	if err := d.end(); err != nil {
		return nil, fmt.Errorf("positions record: %w", err)
	}
	return p, nil
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func appendPositions(dst []byte, ps []record.Position) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(ps)))
	for i := range ps {
		p := &ps[i]
		dst = appendString(dst, p.Cluster)
		dst = appendString(dst, p.Topic)
		dst = append(dst, p.TopicID[:]...)
		dst = binary.AppendVarint(dst, int64(p.Partition))
		dst = binary.AppendVarint(dst, p.Offset)
		dst = binary.AppendVarint(dst, int64(p.LeaderEpoch))
	}
	return dst
}
