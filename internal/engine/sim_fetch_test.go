package engine

import (
	"slices"

	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/sources"
)

// simFetcher moves committed records to the workers, as kafka.Fetcher and
// group.poll do.
type simFetcher struct {
	p     *simProcess
	parts []*simFetch
	able  []*simFetch
}

type simFetch struct {
	log   *simLog
	epoch uint64
	next  int64
	ended bool // its owner was told
}

// atEnd reports whether the partition has come to its bound, as sources.Bounded does.
func (s *simFetch) atEnd(w *world) bool {
	return w.faults.bounded && w.input.left == 0 && !s.ended && s.log.part.Topic != simPlan.Loop.Topic && s.next >= s.log.end()
}

func (f *simFetcher) find(p record.Partition) *simFetch {
	for _, s := range f.parts {
		if s.log.part == p {
			return s
		}
	}
	return nil
}

func (f *simFetcher) seek(seeks []sources.Seek) {
	for _, s := range seeks {
		if f.p.w.mutant.seekStays {
			if old := f.find(s.Partition); old != nil {
				old.epoch = s.Epoch
				continue
			}
		}
		f.stop([]record.Partition{s.Partition})
		f.parts = append(f.parts, &simFetch{log: f.p.w.broker.logs[s.Partition], epoch: s.Epoch, next: s.Offset})
	}
}

func (f *simFetcher) stop(parts []record.Partition) {
	f.parts = slices.DeleteFunc(f.parts, func(s *simFetch) bool { return slices.Contains(parts, s.log.part) })
}

// simQueue is what a worker may have waiting before its partitions pause.
const simQueue = 40

func (f *simFetcher) offer(w *world) {
	f.able = f.able[:0]
	for _, s := range f.parts {
		end := s.log.stable()
		if w.mutant.readUncommitted {
			end = s.log.high
		}
		if r := f.p.owner[s.log.part.Partition]; (s.next < end || s.atEnd(w)) && (r == nil || r.queued < simQueue) {
			f.able = append(f.able, s)
		}
	}
	if len(f.able) > 0 {
		w.offer(f, 5)
	}
}

// act fetches some records of one partition.
func (f *simFetcher) act(w *world) {
	s := f.able[w.rng.IntN(len(f.able))]
	if s.atEnd(w) {
		s.ended = true
		if r := f.p.owner[s.log.part.Partition]; r != nil {
			w.count("inputs ended")
			r.post(evInputEnd{s.log.part, s.epoch})
		}
		return
	}
	records, next := s.log.read(s.next, 1+w.rng.IntN(10))
	s.next = next
	r := f.p.owner[s.log.part.Partition]
	if r == nil {
		return
	}
	n := len(records)
	r.queued += n
	r.post(&evBatch{part: s.log.part, epoch: s.epoch, records: records, next: next, bytes: int64(50 * n), release: func() {
		r.queued -= n
		for i := range records { // the memory is somebody else's now
			scribble(records[i].Key)
			scribble(records[i].Value)
			records[i] = record.Record{Offset: -1}
		}
	}})
}

func scribble(b []byte) {
	for i := range b {
		b[i] = '#'
	}
}
