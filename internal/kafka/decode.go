package kafka

import (
	"encoding/binary"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed-73111be4/kappa/record"
)

// Decoder turns raw record batches into committed records, by the code that reads
// what brokers answer. It is safe for concurrent use.
type Decoder struct {
	pool     recordPool
	pools    []kgo.Pool
	verified bool
}

// NewDecoder returns a decoder with memory of its own.
func NewDecoder() *Decoder {
	d := new(Decoder)
	d.pools = []kgo.Pool{&d.pool}
	return d
}

// NewVerifiedDecoder returns a decoder of batches that have been verified already: it
// does not compare their checksums again.
func NewVerifiedDecoder() *Decoder {
	d := NewDecoder()
	d.verified = true
	return d
}

// Decode returns the committed records of whole batches with offsets from from on and
// below until, as read_committed shows them: without the transactions named as
// aborted, without markers. Aborted are those of which raw has records or the marker:
// what has ended before raw begins must not be named, for its producer's next records
// would be taken for aborted, too. The records may alias raw, so raw must live until
// Release. Next is the offset after the last record seen, markers too, or from.
func (d *Decoder) Decode(p record.Partition, from, until int64, raw []byte, aborted []AbortedTransaction) (Fetched, error) {
	rp := kmsg.NewFetchResponseTopicPartition()
	rp.Partition, rp.RecordBatches = p.Partition, raw
	rp.HighWatermark, rp.LastStableOffset = until, until
	for _, a := range aborted {
		t := kmsg.NewFetchResponseTopicPartitionAbortedTransaction()
		t.ProducerID, t.FirstOffset = a.ProducerID, a.FirstOffset
		rp.AbortedTransactions = append(rp.AbortedTransactions, t)
	}
	fp, _ := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		KeepControlRecords: true, Offset: baseOf(raw), IsolationLevel: kgo.ReadCommitted(),
		Topic: p.Topic, Partition: p.Partition, Pools: d.pools, DisableCRCValidation: d.verified,
	}, &rp, kgo.DefaultDecompressor(d.pools...), nil)
	out := Fetched{Partition: p, Next: from, HighWatermark: -1, slab: d.pool.records(len(fp.Records))}
	for _, r := range fp.Records {
		if r.Offset >= until {
			break
		}
		if r.Offset < from { // decoded all the same, for the markers that end transactions
			continue
		}
		out.Next = r.Offset + 1
		if !r.Attrs.IsControl() {
			out.slab.add(r)
		}
	}
	out.Records = out.slab.recs
	recycle(fp.Records)
	if fp.Err != nil {
		out.Release()
		return Fetched{}, fmt.Errorf("decode %s from offset %d: %w", p, from, fp.Err)
	}
	return out, nil
}

// baseOf returns the base offset of the first batch.
func baseOf(raw []byte) int64 {
	if len(raw) < 8 {
		return 0
	}
	return int64(binary.BigEndian.Uint64(raw))
}
