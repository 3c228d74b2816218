package kappa

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/seed-73111be4/kappa/archive"
	"github.com/seed-73111be4/kappa/archive/bucket"
	"github.com/seed-73111be4/kappa/internal/archiver"
	"github.com/seed-73111be4/kappa/record"
)

// ArchiveOptions say what an archiver copies, and whereto. Each comment ends with the
// default; what has none is needed.
type ArchiveOptions struct {
	// Bucket is the URL of the archive, such as file:///archive or s3://name?region=….
	Bucket string
	// Topics are names or patterns: * stands for any characters, ? for one, and a
	// pattern that begins with ! excludes.
	Topics []string
	// Group is the group by which processes share the partitions; "kappa-archiver".
	Group string
	// SegmentAge is how long a record may wait for being archived; 5 minutes.
	SegmentAge time.Duration
	// SegmentBytes is the size at which a segment ends; 128 MiB.
	SegmentBytes int64
	// MemoryBytes bounds what all copies under way hold, about 40 MiB each; 256 MiB.
	MemoryBytes int64
}

// An Archiver copies topics into an archive until it is stopped. Its methods may be
// called from any goroutine.
type Archiver struct {
	client *Client
	bucket io.Closer
	store  *archive.Archive
	core   *archiver.Archiver

	stop context.CancelFunc
	done chan struct{} // closed when it has ended
	err  error         // why it has, once done is closed
}

// Archive starts an archiver. The caller calls Stop, in any case, before it closes the
// client.
func (c *Client) Archive(ctx context.Context, o ArchiveOptions) (*Archiver, error) {
	return c.archive(ctx, o.Bucket, archiver.Config{
		Topics: o.Topics, Group: o.Group, SegmentAge: o.SegmentAge, SegmentBytes: o.SegmentBytes, MemoryBytes: o.MemoryBytes,
	})
}

// archive starts an archiver of the client's cluster.
func (c *Client) archive(ctx context.Context, url string, config archiver.Config) (*Archiver, error) {
	b, err := bucket.Open(ctx, url)
	if err != nil {
		return nil, err
	}
	a := &Archiver{client: c, bucket: b, store: archive.New(b, archive.Config{}), done: make(chan struct{})}
	config.Cluster, config.Archive, config.Log = c.cluster, a.store, c.log
	if a.core, err = archiver.New(config); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	ctx, a.stop = context.WithCancel(ctx)
	go func() {
		defer close(a.done)
		a.err = a.core.Run(ctx)
	}()
	return a, nil
}

// Done is closed when the archiver has ended, of which Stop tells why.
func (a *Archiver) Done() <-chan struct{} { return a.done }

// Stop lets the archiver seal what it is copying, waits for its end and returns what
// ended it: nil, or an error that only a person can mend. It may be called again.
func (a *Archiver) Stop() error {
	a.stop()
	<-a.done
	return errors.Join(a.err, a.bucket.Close())
}

// Ready returns why the archiver does not do its work, nil where it does.
func (a *Archiver) Ready() error { return a.core.Ready() }

// archivedEvery is how often the archive is asked whether it is up to date.
const archivedEvery = 20 * time.Millisecond

// WaitCaughtUp returns once the archive has all that is committed in the topics as of
// the call.
func (a *Archiver) WaitCaughtUp(ctx context.Context, topics ...string) error {
	logs, ends, err := a.logs(ctx, topics)
	if err != nil {
		return err
	}
	tick := time.NewTicker(archivedEvery)
	defer tick.Stop()
	for _, l := range logs {
		for log := ends[partitionOf(l)]; log.Start < log.LastStable; {
			m, err := a.store.Latest(ctx, l)
			if err != nil && !errors.Is(err, archive.ErrNotArchived) {
				return err
			}
			if err == nil && m.Next >= log.LastStable {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("%s is not archived up to its end: %w", l, errors.Join(context.Cause(ctx), a.core.Ready()))
			case <-a.done:
				return fmt.Errorf("%s is not archived up to its end: the archiver has ended", l)
			case <-tick.C:
			}
		}
	}
	return nil
}

// Trim deletes from Kafka what the archive has of the topics, as retention would in
// time, but for the last batch of each partition, and returns how many offsets these are.
// Each partition is first compared, batch by batch; compacted topics are refused.
func (a *Archiver) Trim(ctx context.Context, topics ...string) (offsets int64, err error) {
	logs, _, err := a.logs(ctx, topics)
	if err != nil {
		return 0, err
	}
	mender := archiver.Mender{Cluster: a.client.cluster, Archive: a.store}
	for _, l := range logs {
		m, err := a.store.Latest(ctx, l)
		if errors.Is(err, archive.ErrNotArchived) {
			continue
		}
		if err != nil {
			return offsets, err
		}
		from, to, err := mender.Trim(ctx, m, false)
		if err != nil {
			return offsets, err
		}
		offsets += to - from
	}
	return offsets, nil
}

// logs returns the topics' partitions as the archive names them, and their ends.
func (a *Archiver) logs(ctx context.Context, topics []string) ([]archive.Log, map[record.Partition]record.Ends, error) {
	there, err := a.client.cluster.Topics(ctx, topics...)
	if err != nil {
		return nil, nil, err
	}
	var logs []archive.Log
	var parts []record.Partition
	for _, name := range topics {
		t, ok := there[name]
		if !ok {
			return nil, nil, fmt.Errorf("topic %s: %w", name, record.ErrUnknownTopic)
		}
		for p := range t.Partitions {
			l := archive.Log{Cluster: a.client.cluster.ID(), Topic: name, TopicID: t.ID, Partition: p}
			logs, parts = append(logs, l), append(parts, partitionOf(l))
		}
	}
	ends, err := a.client.cluster.EndsOf(ctx, parts...)
	return logs, ends, err
}
