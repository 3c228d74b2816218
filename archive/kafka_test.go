package archive

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"testing"

	"github.com/seed-73111be4/kappa/record"
)

// Record batches as a broker has them, made by hand: what franz-go makes of them is
// tested in decode_test.go.

type batchSpec struct {
	base     int64
	n        int // records
	epoch    int32
	time     int64
	producer int64
	txn      bool
	pad      int // bytes of value a record
}

func appendRecord(p []byte, i int, time int64, key, value []byte) []byte {
	body := binary.AppendVarint([]byte{0}, time)
	body = binary.AppendVarint(body, int64(i))
	body = binary.AppendVarint(body, int64(len(key)))
	body = append(body, key...)
	body = binary.AppendVarint(body, int64(len(value)))
	body = append(body, value...)
	body = binary.AppendVarint(body, 0)
	return append(binary.AppendVarint(p, int64(len(body))), body...)
}

// batch returns a data batch.
func (s batchSpec) batch() []byte {
	var records []byte
	for i := range s.n {
		value := make([]byte, s.pad)
		for j := range value {
			value[j] = byte(s.base + int64(i*j))
		}
		records = appendRecord(records, i, int64(i), fmt.Appendf(nil, "k%d", s.base+int64(i)), value)
	}
	attributes := int16(0)
	if s.txn {
		attributes = attrTransactional
	}
	return header(s, attributes, int32(s.n-1), s.time+int64(s.n-1), int32(s.n), records)
}

// marker returns the end of a transaction.
func (s batchSpec) marker(m Marker) []byte {
	key := binary.BigEndian.AppendUint16([]byte{0, 0}, uint16(m-Abort))
	records := appendRecord(nil, 0, 0, key, make([]byte, 6))
	return header(s, attrTransactional|attrControl, 0, s.time, 1, records)
}

func header(s batchSpec, attributes int16, lastDelta int32, maxTime int64, n int32, records []byte) []byte {
	be := binary.BigEndian
	p := be.AppendUint64(nil, uint64(s.base))
	p = be.AppendUint32(p, uint32(BatchHeaderSize-lengthEnd+len(records)))
	p = be.AppendUint32(p, uint32(s.epoch))
	p = append(p, batchMagic, 0, 0, 0, 0)
	p = be.AppendUint16(p, uint16(attributes))
	p = be.AppendUint32(p, uint32(lastDelta))
	p = be.AppendUint64(p, uint64(s.time))
	p = be.AppendUint64(p, uint64(maxTime))
	p = be.AppendUint64(p, uint64(s.producer))
	p = be.AppendUint16(p, 0)
	p = be.AppendUint32(p, 0)
	p = be.AppendUint32(p, uint32(n))
	p = append(p, records...)
	be.PutUint32(p[17:], crc32.Checksum(p[crcEnd:], castagnoli()))
	return p
}

// broker is a log with what a fetch of it answers.
type broker struct {
	batches [][]byte
	aborted []AbortedTxn // with their ends
	next    int64
}

func (b *broker) add(p []byte) {
	h := headerOf(p)
	b.batches = append(b.batches, p)
	b.next = h.LastOffset() + 1
}

// fetch answers as a broker does: whole batches from the one with offset on, at least
// one, the last one possibly cut off; and the aborted transactions among them.
func (b *broker) fetch(offset int64, bytes int) Fetched {
	f := Fetched{Stable: b.next}
	end := int64(-1)
	first := true
	for _, p := range b.batches {
		h := headerOf(p)
		if h.LastOffset() < offset {
			continue
		}
		room := bytes - len(f.Raw)
		if !first && room < len(p) {
			f.Raw = append(f.Raw, p[:max(0, room)]...)
			break
		}
		first = false
		f.Raw, end = append(f.Raw, p...), h.LastOffset()
	}
	for _, a := range b.aborted {
		if a.Last >= offset && a.First <= end {
			f.Aborted = append(f.Aborted, AbortedTxn{ProducerID: a.ProducerID, First: a.First, Last: OpenEnd})
		}
	}
	return f
}

// raw returns the batches of [from, to).
func (b *broker) raw(from, to int64) []byte {
	var raw []byte
	for _, p := range b.batches {
		if h := headerOf(p); h.LastOffset() >= from && h.BaseOffset < to {
			raw = append(raw, p...)
		}
	}
	return raw
}

// randomBroker makes a log of about n batches: plain and transactional data, gaps as
// the cleaner leaves them, several leaders.
func randomBroker(seed uint64, n int) *broker {
	rnd := rand.New(rand.NewPCG(seed, 1))
	b := &broker{}
	open := map[int64]int64{} // producer → first offset
	spec := batchSpec{time: 1_000_000, epoch: 3}
	for len(b.batches) < n || len(open) > 0 {
		spec.base = b.next
		if rnd.IntN(10) == 0 {
			spec.base += rnd.Int64N(5)
		}
		spec.epoch += int32(rnd.IntN(20) / 19)
		spec.time += rnd.Int64N(100)
		spec.n, spec.pad, spec.txn, spec.producer = 1+rnd.IntN(5), rnd.IntN(200), false, -1
		producer := rnd.Int64N(4)
		first, in := open[producer]
		switch {
		case in && (rnd.IntN(3) == 0 || len(b.batches) >= n):
			spec.producer = producer
			m := Marker(1 + rnd.IntN(2))
			if m == Abort {
				b.aborted = append(b.aborted, AbortedTxn{ProducerID: producer, First: first, Last: spec.base})
			}
			delete(open, producer)
			b.add(spec.marker(m))
			continue
		case len(b.batches) >= n:
			continue
		case rnd.IntN(2) == 0:
			spec.producer, spec.txn = producer, true
			if !in {
				open[producer] = spec.base
			}
		}
		b.add(spec.batch())
	}
	return b
}

var testLog = Log{Cluster: "tEst-cluster_1", Topic: "flights", TopicID: record.TopicID{1, 2, 3, 15: 9}, Partition: 7}

func TestDecodeBatchReadsTheHeader(t *testing.T) {
	p := batchSpec{base: 41, n: 3, epoch: 5, time: 1000, producer: 77, txn: true}.batch()
	b, err := DecodeBatch(append(p, 1, 2, 3))
	if err != nil {
		t.Fatal(err)
	}
	if b.BaseOffset != 41 || b.LastOffset() != 43 || b.LeaderEpoch != 5 || b.BaseTimestamp != 1000 || b.MaxTimestamp != 1002 ||
		b.ProducerID != 77 || b.Records != 3 || !b.Transactional() || b.Control() || b.Codec() != 0 || b.LogAppendTime() || len(b.Raw) != len(p) {
		t.Errorf("decoded %+v", b)
	}
	if err := b.Check(); err != nil {
		t.Error(err)
	}
	b.Raw[BatchHeaderSize]++
	if err := b.Check(); err == nil {
		t.Error("a changed record passes the checksum")
	}
}

func TestMarkersAreRead(t *testing.T) {
	for want, p := range map[Marker][]byte{
		Abort:    batchSpec{base: 1, producer: 2}.marker(Abort),
		Commit:   batchSpec{base: 1, producer: 2}.marker(Commit),
		NoMarker: batchSpec{base: 1, n: 1, producer: 2, txn: true}.batch(),
	} {
		b, err := DecodeBatch(p)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := b.Marker(); got != want || err != nil {
			t.Errorf("marker %v, %v; want %v", got, err, want)
		}
	}
}

func TestDecodeBatchRefuses(t *testing.T) {
	good := batchSpec{base: 1, n: 1}.batch()
	change := func(at int, v byte) []byte {
		p := append([]byte(nil), good...)
		p[at] = v
		return p
	}
	for name, p := range map[string][]byte{
		"nothing":           nil,
		"a part of a head":  good[:20],
		"a part":            good[:len(good)-1],
		"format 1":          change(16, 1),
		"a negative offset": change(0, 0x80),
		"a tiny length":     change(11, 3),
		"a negative length": change(8, 0xff),
		"a negative count":  change(57, 0xff),
		"a negative delta":  change(23, 0xff),
	} {
		if _, err := DecodeBatch(p); err == nil {
			t.Errorf("%s is decoded", name)
		}
	}
	if _, err := DecodeBatch(good[:30]); !isPartial(err) {
		t.Errorf("a batch that is cut off: %v", err)
	}
}
