package archiver

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/seed-73111be4/kappa/archive"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/record"
)

// simLog is a partition as it ever was: what retention takes from Kafka stays here, for
// the archive must have it.
type simLog struct {
	part    record.Partition
	batches []simBatch
	start   int64 // the first offset that Kafka still has
	next    int64
	epochs  []int64         // where each leader epoch begins
	open    map[int64]int64 // first offset of each producer's open transaction
	aborted []archive.AbortedTxn
}

type simBatch struct {
	base, last int64
	raw        []byte
}

// simID is the topics' id.
var simID = record.TopicID{7}

func newSimLog(topic string, p int32) *simLog {
	return &simLog{part: record.Partition{Topic: topic, Partition: p}, epochs: []int64{0}, open: map[int64]int64{}}
}

// stable returns the last stable offset.
func (l *simLog) stable() int64 {
	stable := l.next
	for _, first := range l.open {
		stable = min(stable, first)
	}
	return stable
}

// write makes the log grow: plain records, a transaction's, or its end; sometimes with
// offsets that the cleaner has emptied.
func (l *simLog) write(w *simWorld) {
	if w.chance(8) {
		l.next += int64(1 + w.rnd.IntN(4))
	}
	producer := int64(w.rnd.IntN(3))
	first, in := l.open[producer]
	switch {
	case in && w.chance(3):
		l.end(producer, first, w.chance(2))
	case w.chance(2):
		if !in && len(l.open) < 2 {
			l.open[producer] = l.next
			in = true
		}
		l.add(producer, in, false, 1+w.rnd.IntN(5), w.rnd.IntN(150))
	default:
		l.add(-1, false, false, 1+w.rnd.IntN(5), w.rnd.IntN(150))
	}
	if w.chance(40) {
		l.epochs = append(l.epochs, l.next)
	}
}

// end writes the marker of a transaction.
func (l *simLog) end(producer, first int64, commit bool) {
	delete(l.open, producer)
	if !commit {
		l.aborted = append(l.aborted, archive.AbortedTxn{ProducerID: producer, First: first, Last: l.next})
	}
	n := 0
	if commit {
		n = 1
	}
	l.add(producer, true, true, n, 0)
}

// add appends a batch of n records with so many bytes; of a marker n is its type.
func (l *simLog) add(producer int64, txn, marker bool, n, bytes int) {
	be, attributes, count := binary.BigEndian, uint16(0), n
	payload := make([]byte, bytes+1)
	for i := range payload {
		payload[i] = byte(l.next*31 + int64(i)*7)
	}
	if txn {
		attributes |= 1 << 4
	}
	if marker {
		attributes |= 1 << 5
		key := be.AppendUint16([]byte{0, 0}, uint16(n))
		record := append([]byte{0, 0, 0, byte(len(key) << 1)}, key...)
		record = append(append(record, 12, 0, 0, 0, 0, 0, 0), 0)
		payload, count = append([]byte{byte(len(record) << 1)}, record...), 1
	}
	p := be.AppendUint64(nil, uint64(l.next))
	p = be.AppendUint32(p, uint32(archive.BatchHeaderSize-12+len(payload)))
	p = be.AppendUint32(p, uint32(len(l.epochs)-1))
	p = append(p, 2, 0, 0, 0, 0)
	p = be.AppendUint16(p, attributes)
	p = be.AppendUint32(p, uint32(count-1))
	p = be.AppendUint64(p, uint64(l.next))
	p = be.AppendUint64(p, uint64(l.next+int64(count)))
	p = be.AppendUint64(p, uint64(producer))
	p = be.AppendUint16(p, 0)
	p = be.AppendUint32(p, ^uint32(0))
	p = be.AppendUint32(p, uint32(count))
	p = append(p, payload...)
	be.PutUint32(p[17:], crc32.Checksum(p[21:], crc32.MakeTable(crc32.Castagnoli)))
	b := simBatch{base: l.next, last: l.next + int64(count) - 1, raw: p}
	l.batches, l.next = append(l.batches, b), b.last+1
}

// raw returns the batches of [from, to).
func (l *simLog) raw(from, to int64) []byte {
	var raw []byte
	for _, b := range l.batches {
		if b.last >= from && b.base < to {
			raw = append(raw, b.raw...)
		}
	}
	return raw
}

// fetch answers as a broker: some whole batches, at times one that is cut off, and the
// aborted transactions among them.
func (l *simLog) fetch(w *simWorld, from int64) (kafka.Raw, error) {
	raw := kafka.Raw{LogStart: l.start, LastStable: l.stable(), HighWatermark: l.next}
	if w.mutant.dirtyReads {
		raw.LastStable = l.next
	}
	if from < l.start || from > l.next {
		return raw, fmt.Errorf("fetch %s: %w", l.part, record.ErrOffsetOutOfRange)
	}
	until := from
	for n := 1 + w.rnd.IntN(6); n > 0; n-- {
		i := slices.IndexFunc(l.batches, func(b simBatch) bool { return b.last >= until })
		if i < 0 || l.batches[i].base >= raw.LastStable {
			break
		}
		b := l.batches[i]
		if n == 1 && len(raw.Batches) > 0 && w.chance(2) {
			raw.Batches = append(raw.Batches, b.raw[:w.rnd.IntN(len(b.raw))]...)
			break
		}
		if !w.mutant.dropBatch || !w.chance(20) {
			raw.Batches = append(raw.Batches, b.raw...)
		}
		until = b.last + 1
	}
	for _, a := range l.aborted {
		if a.Last >= from && a.First < until {
			raw.Aborted = append(raw.Aborted, kafka.AbortedTransaction{ProducerID: a.ProducerID, FirstOffset: a.First})
		}
	}
	return raw, nil
}

// simBrokers is what a process sees of Kafka.
type simBrokers struct{ p *simProcess }

func (k simBrokers) ID() string { return "sim" }

func (k simBrokers) AllTopics(ctx context.Context) (names []string, err error) {
	err = k.p.call(ctx, simKafka, "topics", func() error {
		names = k.p.w.topics()
		return nil
	})
	return names, err
}

func (k simBrokers) Topics(ctx context.Context, names ...string) (map[string]kafka.Topic, error) {
	all := map[string]kafka.Topic{}
	err := k.p.call(ctx, simKafka, "describe topics", func() error {
		for _, n := range names {
			all[n] = kafka.Topic{Name: n, ID: simID, Partitions: simPartitions, Config: map[string]string{"cleanup.policy": "delete", "retention.ms": "-1"}}
		}
		return nil
	})
	return all, err
}

func (k simBrokers) EndsOf(ctx context.Context, parts ...record.Partition) (map[record.Partition]record.Ends, error) {
	ends := map[record.Partition]record.Ends{}
	err := k.p.call(ctx, simKafka, fmt.Sprint("ends of ", parts), func() error {
		for _, p := range parts {
			l := k.p.w.log(p)
			e := record.Ends{TopicID: simID, LeaderEpoch: int32(len(l.epochs) - 1), Start: l.start, LastStable: l.stable(), HighWatermark: l.next}
			if k.p.w.mutant.groupOffsets {
				e.Start = max(e.Start, k.p.w.claimed[p])
			}
			ends[p] = e
		}
		return nil
	})
	return ends, err
}

func (k simBrokers) EpochEnd(ctx context.Context, p record.Partition, epoch int32) (end int64, err error) {
	err = k.p.call(ctx, simKafka, fmt.Sprintf("end of epoch %d of %s", epoch, p), func() error {
		l := k.p.w.log(p)
		if end = l.next; int(epoch)+1 < len(l.epochs) {
			end = l.epochs[epoch+1]
		}
		return nil
	})
	return end, err
}

func (k simBrokers) Peek(ctx context.Context, _ record.TopicID, p record.Partition, from int64) ([]byte, error) {
	var raw kafka.Raw
	err := k.p.call(ctx, simKafka, fmt.Sprintf("peek %s from %d", p, from), func() (err error) {
		raw, err = k.p.w.log(p).fetch(k.p.w, from)
		return err
	})
	return raw.Batches, err
}

func (k simBrokers) open(_ record.TopicID, p record.Partition, from int64) batches {
	return &simReader{k: k, part: p, pos: from}
}

// simReader reads a log from a position on.
type simReader struct {
	k    simBrokers
	part record.Partition
	pos  int64
}

func (r *simReader) Close() {}

func (r *simReader) Next(ctx context.Context) (raw kafka.Raw, err error) {
	w := r.k.p.w
	err = r.k.p.call(ctx, simKafka, fmt.Sprintf("fetch %s from %d", r.part, r.pos), func() (err error) {
		raw, err = w.log(r.part).fetch(w, r.pos)
		return err
	})
	for b, err := range archive.Batches(raw.Batches) {
		if err != nil {
			break // cut off
		}
		r.pos = b.LastOffset() + 1
	}
	if err == nil && w.mutant.groupOffsets {
		r.k.p.w.claim(r.part, r.pos)
	}
	return raw, err
}
