package archiver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"

	"github.com/seed-73111be4/kappa/archive"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/record"
)

// Compared says what archive and Kafka were both asked for.
type Compared struct {
	From, To  int64 // offsets that both have, [From, To)
	Batches   int64 // equal, byte for byte
	Rewritten int64 // of Kafka's, rewritten by compaction: what is left of them is equal
	Last      int64 // where the last batch that is equal and holds records begins, -1: none
}

// Compare holds the archive against Kafka wherever both have something: batches by
// place and checksum, and on compacted topics, where the cleaner rewrites batches, the
// surviving records. The first difference is a DivergedError.
func (d Mender) Compare(ctx context.Context, m *archive.Manifest) (Compared, error) {
	p := record.Partition{Topic: m.Log.Topic, Partition: m.Log.Partition}
	ends, err := d.Cluster.Ends(ctx, p)
	if err != nil {
		return Compared{}, err
	}
	if ends.TopicID != m.Log.TopicID {
		return Compared{}, fmt.Errorf("compare %s: %w", m.Log, record.ErrRecreated)
	}
	c := comparison{Compared: Compared{Last: -1}, d: d, m: m, p: p, decoder: kafka.NewDecoder()}
	c.From, c.To = max(m.Start(), ends.Start), m.Next
	for _, g := range m.Gaps {
		c.From = max(c.From, g.To)
	}
	if c.From >= c.To {
		c.From = c.To
		return c.Compared, nil
	}
	if gone, err := divergence(ctx, d.Cluster, d.Archive, m, ends); err != nil || gone != nil {
		return c.Compared, errors.Join(err, asError(gone))
	}
	err = c.run(ctx)
	return c.Compared, err
}

func asError(e *DivergedError) error {
	if e == nil {
		return nil
	}
	return e
}

type comparison struct {
	Compared
	d       Mender
	m       *archive.Manifest
	p       record.Partition
	decoder *kafka.Decoder
}

func (c *comparison) run(ctx context.Context) error {
	ours, stop := iter.Pull2(c.archived(ctx))
	defer stop()
	theirs, stop := iter.Pull2(c.inKafka(ctx))
	defer stop()
	a, err, more := ours()
	for {
		if err != nil {
			return err
		}
		k, kerr, found := theirs()
		if kerr != nil {
			return kerr
		}
		for more && err == nil && (!found || a.LastOffset() < k.BaseOffset) {
			if !c.compacted(a.BaseOffset) {
				return c.differ(a.BaseOffset, "the log has no such batch")
			}
			a, err, more = ours()
		}
		switch {
		case err != nil || !more && !found:
			return err
		case !more:
			return c.differ(k.BaseOffset, "the archive has no such batch")
		case !found:
			return nil
		}
		if equal(a, k) {
			c.Batches++
			if !a.Control() {
				c.Last = a.BaseOffset
			}
			a, err, more = ours()
			continue
		}
		if !c.compacted(a.BaseOffset) {
			return c.differ(a.BaseOffset, "the batches differ")
		}
		if err := c.survivors(a, k); err != nil {
			return err
		}
		c.Rewritten++
	}
}

func equal(a, b archive.Batch) bool {
	return a.BaseOffset == b.BaseOffset && a.CRC == b.CRC && len(a.Raw) == len(b.Raw) && a.LastOffset() == b.LastOffset()
}

func (c *comparison) compacted(offset int64) bool {
	i, err := c.m.Find(max(offset, c.From))
	return err == nil && i < len(c.m.Segments) && c.m.Segments[i].Compacted
}

func (c *comparison) differ(offset int64, reason string) error {
	return &DivergedError{Log: c.m.Log, Offset: offset, End: c.m.Next, Epoch: c.m.NextEpoch, Reason: reason}
}

// survivors demands that every record that Kafka still has in a batch is the archive's.
func (c *comparison) survivors(a, k archive.Batch) error {
	if k.Control() && a.Control() || k.Records == 0 {
		return nil // a marker that lost its place to the delete horizon, an emptied batch
	}
	until := max(a.LastOffset(), k.LastOffset()) + 1
	x, err := c.decoder.Decode(c.p, a.BaseOffset, until, a.Raw, nil)
	if err != nil {
		return err
	}
	defer x.Release()
	y, err := c.decoder.Decode(c.p, k.BaseOffset, until, k.Raw, nil)
	if err != nil {
		return err
	}
	defer y.Release()
	known := make(map[int64]record.Record, len(x.Records))
	for _, r := range x.Records {
		known[r.Offset] = r
	}
	for _, r := range y.Records {
		if was, ok := known[r.Offset]; !ok || !sameRecord(was, r) {
			return c.differ(r.Offset, "the records differ")
		}
	}
	return nil
}

func sameRecord(a, b record.Record) bool {
	return a.Timestamp == b.Timestamp && bytes.Equal(a.Key, b.Key) && bytes.Equal(a.Value, b.Value) && (a.Value == nil) == (b.Value == nil) &&
		slices.EqualFunc(a.Headers, b.Headers, func(x, y record.Header) bool { return x.Key == y.Key && bytes.Equal(x.Value, y.Value) })
}

// archived yields the archive's batches from From on.
func (c *comparison) archived(ctx context.Context) iter.Seq2[archive.Batch, error] {
	return func(yield func(archive.Batch, error) bool) {
		r, err := c.d.Archive.Read(c.m, archive.ReadConfig{From: c.From, Until: c.To})
		if err != nil {
			yield(archive.Batch{}, err)
			return
		}
		defer r.Close()
		for {
			chunk, err := r.Next(ctx)
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(archive.Batch{}, err)
				return
			}
			for b, err := range archive.Batches(chunk.Raw) {
				if err == nil && b.LastOffset() < c.From {
					continue
				}
				if !yield(b, err) || err != nil {
					chunk.Release()
					return
				}
			}
			chunk.Release()
		}
	}
}

// inKafka yields Kafka's batches of [From, To).
func (c *comparison) inKafka(ctx context.Context) iter.Seq2[archive.Batch, error] {
	return func(yield func(archive.Batch, error) bool) {
		r := c.d.Cluster.OpenRawOf(c.m.Log.TopicID, c.p, c.From)
		defer r.Close()
		for next := c.From; next < c.To; {
			raw, err := r.Next(ctx)
			if err != nil {
				yield(archive.Batch{}, err)
				return
			}
			before := next
			for b, err := range archive.Batches(raw.Batches) {
				if err != nil {
					break // cut off at the end
				}
				if b.LastOffset() < next {
					continue
				}
				if b.BaseOffset >= c.To || !yield(b, nil) {
					return
				}
				next = b.LastOffset() + 1
			}
			if next == before {
				return // the log ends
			}
		}
	}
}
