package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"github.com/seed-73111be4/kappa/record"
)

// batchHeads lists the batches in raw bytes as first-last offset, with a letter for
// markers.
func batchHeads(raw []byte) (heads []string, next int64) {
	for len(raw) >= 27 {
		size := 12 + int(binary.BigEndian.Uint32(raw[8:]))
		if size > len(raw) {
			break // cut off
		}
		next = endOf(raw[:size], -1)
		kind := ""
		if raw[22]&0x20 != 0 {
			kind = "m"
		}
		heads = append(heads, fmt.Sprintf("%d-%d%s", binary.BigEndian.Uint64(raw), next-1, kind))
		raw = raw[size:]
	}
	return heads, next
}

func TestRawReaderHandsOnTheBatchesAsTheyLie(t *testing.T) {
	c := testCluster(t)
	topic := testTopic(t, c, 1)
	p := testProducer(t, c, ProducerConfig{})
	transact(t, p, true, topic, 0, "a", "b")
	transact(t, p, false, topic, 0, "x")
	transact(t, p, true, topic, 0, "c")
	end := settledEnds(t, c, at(topic, 0)).HighWatermark
	read := func(from int64) (heads []string, aborted []AbortedTransaction, last Raw) {
		r := c.OpenRaw(at(topic, 0), from)
		defer r.Close()
		for {
			raw, err := r.Next(testContext(t))
			if err != nil {
				t.Fatal(err)
			}
			if len(raw.Batches) == 0 {
				return heads, aborted, raw
			}
			got, _ := batchHeads(raw.Batches)
			heads, aborted = append(heads, got...), append(aborted, raw.Aborted...)
		}
	}
	heads, aborted, last := read(0)
	wantEqual(t, "batches", fmt.Sprint(heads), "[0-1 2-2m 3-3 4-4m 5-5 6-6m]")
	if len(aborted) != 1 || aborted[0].FirstOffset != 3 || last.LastStable != end || last.HighWatermark != end || last.LogStart != 0 {
		t.Errorf("aborted %v, at the end %+v, end %d", aborted, last, end)
	}
	heads, _, _ = read(1)
	wantEqual(t, "from within a batch", fmt.Sprint(heads), "[0-1 2-2m 3-3 4-4m 5-5 6-6m]")
	heads, _, _ = read(5)
	wantEqual(t, "from a later one", fmt.Sprint(heads), "[5-5 6-6m]")
}

func TestRawReaderWaitsForWhatFollows(t *testing.T) {
	c := testCluster(t)
	topic := testTopic(t, c, 1)
	p := testProducer(t, c, ProducerConfig{})
	r := c.OpenRaw(at(topic, 0), 0)
	defer r.Close()
	if raw, err := r.Next(testContext(t)); err != nil || len(raw.Batches) > 0 {
		t.Fatalf("%+v, %v", raw, err)
	}
	next := int64(0)
	for i := range 5 {
		transact(t, p, true, topic, 0, fmt.Sprint("v", i))
		for next < int64(2*(i+1)) {
			raw, err := r.Next(testContext(t))
			if err != nil {
				t.Fatal(err)
			}
			if _, end := batchHeads(raw.Batches); end > 0 {
				next = end
			}
		}
	}
}

func TestRawReaderNamesAnOffsetThatIsGone(t *testing.T) {
	c := testCluster(t)
	topic := testTopic(t, c, 1)
	plainly(t, c, topic, 0, "a", "b", "c")
	if err := c.DeleteRecords(testContext(t), map[record.Partition]int64{at(topic, 0): 2}); err != nil {
		t.Fatal(err)
	}
	r := c.OpenRaw(at(topic, 0), 0)
	defer r.Close()
	if _, err := r.Next(testContext(t)); !errors.Is(err, record.ErrOffsetOutOfRange) {
		t.Errorf("%v", err)
	}
	r.Close()
	if _, err := r.Next(testContext(t)); err == nil {
		t.Error("a closed reader reads")
	}
}
