package kafka

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-73111be4/kappa/record"
)

// recordPool holds a fetcher's memory: the client's records, which live from the
// decoding to the conversion, and ours, which live until Release.
type recordPool struct {
	decoded sync.Pool // of *[]kgo.Record
	handed  sync.Pool // of *records
}

// GetRecords returns a slice with room for n records. The client calls it.
func (p *recordPool) GetRecords(n int) []kgo.Record {
	if s, ok := p.decoded.Get().(*[]kgo.Record); ok && cap(*s) >= n {
		return (*s)[:0]
	}
	return make([]kgo.Record, 0, n)
}

// PutRecords takes a slice back. The client calls it.
func (p *recordPool) PutRecords(rs []kgo.Record) { p.decoded.Put(&rs) }

// records is the memory of one Fetched.
type records struct {
	recs    []record.Record
	headers []record.Header
	home    *sync.Pool
}

// records returns memory for n records.
func (p *recordPool) records(n int) *records {
	s, ok := p.handed.Get().(*records)
	if !ok {
		s = &records{home: &p.handed}
	}
	if cap(s.recs) < n {
		s.recs = make([]record.Record, 0, n)
	}
	return s
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
	clear(s.recs)
	clear(s.headers)
	s.recs, s.headers = s.recs[:0], s.headers[:0]
	s.home.Put(s)
}
