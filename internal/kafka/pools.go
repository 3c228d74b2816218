package kafka

import (
	"math/bits"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-73111be4/kappa/record"
)

// recordPool holds a fetcher's memory, by size in powers of two: the client's
// records, which live from the decoding to the conversion, and ours, which live
// until Release.
type recordPool struct {
	decoded [maxClass]sync.Pool // of *[]kgo.Record
	handed  [maxClass]sync.Pool // of *records
	boxes   sync.Pool           // of *[]kgo.Record, empty
}

// Slices beyond the largest class, or below the smallest, are as good as none.
const (
	minClass = 6
	maxClass = 22
)

// class returns the smallest class whose slices have room for n.
func class(n int) int { return max(bits.Len(uint(max(n, 1)-1)), minClass) }

// GetRecords returns a slice with room for n records. The client calls it.
func (p *recordPool) GetRecords(n int) []kgo.Record {
	k := class(n)
	if k >= maxClass {
		return make([]kgo.Record, 0, n)
	}
	if box, ok := p.decoded[k].Get().(*[]kgo.Record); ok {
		s := *box
		*box = nil
		p.boxes.Put(box)
		return s[:0]
	}
	return make([]kgo.Record, 0, 1<<k)
}

// PutRecords takes a slice back. The client calls it.
func (p *recordPool) PutRecords(rs []kgo.Record) {
	k := class(cap(rs))
	if k >= maxClass || cap(rs) != 1<<k {
		return
	}
	box, ok := p.boxes.Get().(*[]kgo.Record)
	if !ok {
		box = new([]kgo.Record)
	}
	*box = rs
	p.decoded[k].Put(box)
}

// records is the memory of one Fetched.
type records struct {
	recs    []record.Record
	headers []record.Header
	home    *sync.Pool // nil: too large to keep
}

// records returns memory for n records.
func (p *recordPool) records(n int) *records {
	k := class(n)
	if k >= maxClass {
		return &records{recs: make([]record.Record, 0, n)}
	}
	if s, ok := p.handed[k].Get().(*records); ok {
		return s
	}
	return &records{recs: make([]record.Record, 0, 1<<k), home: &p.handed[k]}
}

func (s *records) add(r *kgo.Record) {
	var hs []record.Header
	if len(r.Headers) > 0 {
		from := len(s.headers)
		for _, h := range r.Headers {
			s.headers = append(s.headers, record.Header(h))
		}
		hs = s.headers[from:len(s.headers):len(s.headers)]
	}
	s.recs = append(s.recs, record.Record{
		Topic:       r.Topic,
		Partition:   r.Partition,
		LeaderEpoch: r.LeaderEpoch,
		Offset:      r.Offset,
		Timestamp:   r.Timestamp.UnixMilli(),
		Key:         r.Key,
		Value:       r.Value,
		Headers:     hs,
	})
}

// release wipes the memory, so that it keeps nothing alive, and gives it back.
func (s *records) release() {
	if s.home == nil {
		return
	}
	clear(s.recs)
	clear(s.headers)
	s.recs, s.headers = s.recs[:0], s.headers[:0]
	s.home.Put(s)
}
