package kafka

import (
	"fmt"
	"strings"
	"testing"
)

// rawLog is a topic with committed, aborted and plain records, and its raw batches.
func rawLog(t *testing.T, c *Cluster) (topic string, raw []byte, aborted []AbortedTransaction, end int64) {
	t.Helper()
	topic = testTopic(t, c, 1)
	p := testProducer(t, c, ProducerConfig{Compression: "lz4"})
	transact(t, p, true, topic, 0, "a", "b")
	transact(t, p, false, topic, 0, "x", "y")
	plainly(t, c, topic, 0, "c")
	transact(t, p, true, topic, 0, "d", "e")
	transact(t, p, false, topic, 0, "z")
	end = settledEnds(t, c, at(topic, 0)).HighWatermark
	r := c.OpenRaw(at(topic, 0), 0)
	defer r.Close()
	for {
		got, err := r.Next(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Batches) == 0 {
			return topic, raw, aborted, end
		}
		raw, aborted = append(raw, got.Batches...), append(aborted, got.Aborted...)
	}
}

func TestDecoderSeesWhatReadCommittedSees(t *testing.T) {
	c := testCluster(t)
	topic, raw, aborted, end := rawLog(t, c)
	d := NewDecoder()
	for from := int64(0); from <= end; from++ {
		for until := from; until <= end; until++ {
			var want []string
			for _, v := range strings.Fields("0a 1b 6c 7d 8e") {
				if o := int64(v[0] - '0'); o >= from && o < until {
					want = append(want, v[1:])
				}
			}
			got, err := d.Decode(at(topic, 0), from, until, raw, aborted)
			if err != nil {
				t.Fatal(err)
			}
			name := fmt.Sprintf("%d to %d", from, until)
			wantEqual(t, name, valuesOf(got.Records), strings.Join(want, " "))
			if got.Next < from || got.Next > max(from, until) || until == end && from < end && got.Next != end {
				t.Errorf("%s: next is %d", name, got.Next)
			}
			got.Release()
		}
	}
}

func TestDecoderRefusesBrokenBatches(t *testing.T) {
	c := testCluster(t)
	topic, raw, aborted, end := rawLog(t, c)
	raw[70] ^= 1
	if got, err := NewDecoder().Decode(at(topic, 0), 0, end, raw, aborted); err == nil || !strings.Contains(err.Error(), topic) {
		t.Errorf("%+v, %v", got, err)
	}
}
