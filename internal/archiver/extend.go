package archiver

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed-73111be4/kappa/archive"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/record"
)

// task is what a job works on: a copy of what mattered when it began. ctx is the
// job's whole life, soft ends when it should finish with what it has.
type task struct {
	c     *Config
	kafka brokers
	log   archive.Log
	topic topic
	ends  record.Ends

	w *archive.Writer
	m *archive.Manifest

	written int64 // bytes of segments that were committed
	merged  int
	gap     *LostError // that is to be accepted
	fenced  bool
	caught  bool // everything below the last stable offset as of the beginning is archived
}

// extend copies what the partition's log has beyond the archive into one segment.
func (t *task) extend(ctx, soft context.Context) error {
	if err := t.open(ctx); err != nil {
		return err
	}
	from, edits, err := t.from(ctx)
	if err != nil {
		return err
	}
	s, err := t.w.SegmentAt(ctx, from, t.c.segment(t.topic.compacted))
	if err != nil {
		return err
	}
	defer s.Abort()
	readErr := t.fill(soft, s)
	if s.Bytes() == 0 {
		if len(edits) > 0 && readErr == nil {
			readErr = t.commit(ctx, edits...)
		}
		return readErr
	}
	sealed, err := s.Seal()
	if err != nil {
		return err
	}
	edits = append(edits, archive.Append(sealed))
	if t.topic.partitions > 0 && t.m.Partitions != t.topic.partitions {
		edits = append(edits, archive.Grown(t.topic.partitions))
	}
	if err := t.commit(ctx, edits...); err != nil {
		return err
	}
	t.written += sealed.Segment.Bytes()
	return readErr
}

// open reads the manifest, at the first job.
func (t *task) open(ctx context.Context) (err error) {
	if t.w == nil {
		if err := t.c.Archive.Probe(ctx); err != nil {
			return err
		}
		if t.w, err = t.c.Archive.Writer(ctx, t.log); err != nil {
			return err
		}
	}
	t.m, err = t.w.Manifest(ctx)
	return err
}

// from returns where the next segment begins, and the edits that must come before it.
func (t *task) from(ctx context.Context) (int64, []archive.Edit, error) {
	if t.m.Number == 0 {
		return t.ends.Start, nil, nil
	}
	if t.ends.Start > t.m.Next {
		lost := &LostError{Log: t.log, From: t.m.Next, To: t.ends.Start}
		if !t.c.AcceptGaps {
			return 0, nil, t.unlessMended(ctx, lost)
		}
		t.gap = lost
		return lost.To, []archive.Edit{archive.Skip(lost.To, "deleted by Kafka before it was archived")}, nil
	}
	return t.m.Next, nil, t.diverged(ctx)
}

// diverged compares the archive's end with the leader epochs that the log knows.
func (t *task) diverged(ctx context.Context) error {
	d, err := divergence(ctx, t.kafka, t.c.Archive, t.m, t.ends)
	if err != nil {
		return err
	}
	if d != nil {
		return t.unlessMended(ctx, d)
	}
	return nil
}

// unlessMended returns what is wrong with the archive, errAgain where somebody else has
// made a newer manifest meanwhile: it may have been mended.
func (t *task) unlessMended(ctx context.Context, wrong error) error {
	m, err := t.w.Reload(ctx)
	if err != nil {
		return err
	}
	if m.Number == t.m.Number {
		return wrong
	}
	t.m = m
	return errAgain
}

// divergence returns where the log no longer has what the archive has, by leader
// epochs; nil where it has all.
func divergence(ctx context.Context, c epochs, a *archive.Archive, m *archive.Manifest, ends record.Ends) (*DivergedError, error) {
	if m.NextEpoch < 0 || m.Next <= ends.Start {
		return nil, nil
	}
	end, err := c.EpochEnd(ctx, record.Partition{Topic: m.Log.Topic, Partition: m.Log.Partition}, m.NextEpoch)
	switch {
	case err != nil:
		return nil, err
	case end < 0 || end >= m.Next: // brokers that know no epochs say -1
		return nil, nil
	}
	if has, err := a.HasBatches(ctx, m, end); err != nil || !has {
		return nil, err // of a later epoch, and cleaned before anybody read them
	}
	return &DivergedError{Log: m.Log, Offset: end, End: m.Next, Epoch: m.NextEpoch, Reason: fmt.Sprintf("the log's records of that epoch end at %d", end)}, nil
}

// fill copies batches until the segment is full, or has what was stable at first.
func (t *task) fill(soft context.Context, s *archive.SegmentWriter) error {
	p := record.Partition{Topic: t.log.Topic, Partition: t.log.Partition}
	r := t.kafka.open(t.log.TopicID, p, s.Next())
	defer r.Close()
	for target := int64(-1); !s.Full(); {
		raw, err := r.Next(soft)
		if soft.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if target < 0 {
			target = raw.LastStable
		}
		before := s.Next()
		if _, err := s.Append(fetched(raw, raw.LastStable)); err != nil {
			return err
		}
		if s.Full() {
			break
		}
		if s.Next() == before { // no more stable batches
			s.Reach(raw.LastStable)
		}
		if s.Next() >= target {
			t.caught = true
			break
		}
	}
	return nil
}

// fetched turns a broker's answer into what the archive takes, up to an offset.
func fetched(raw kafka.Raw, stable int64) archive.Fetched {
	f := archive.Fetched{Raw: raw.Batches, Stable: stable}
	for _, a := range raw.Aborted {
		f.Aborted = append(f.Aborted, archive.AbortedTxn{ProducerID: a.ProducerID, First: a.FirstOffset, Last: archive.OpenEnd})
	}
	return f
}

// commit makes the edits. Where another archiver was first, or the outcome is not
// known, the newest manifest tells how to go on, and it is no error.
func (t *task) commit(ctx context.Context, edits ...archive.Edit) error {
	m, err := t.w.Commit(ctx, edits...)
	switch {
	case errors.Is(err, archive.ErrFenced), errors.Is(err, archive.ErrUnknownOutcome):
		t.fenced = errors.Is(err, archive.ErrFenced)
		if m, err = t.w.Reload(ctx); err != nil {
			return err
		}
		t.m = m
		return errAgain
	case err != nil:
		return err
	}
	t.m = m
	return nil
}

// errAgain says that the job must begin again, from the newest manifest.
var errAgain = errors.New("the manifest has moved on")
