package integration

import (
	"math"
	"testing"

	"github.com/IBM/sarama"
	"github.com/lovoo/goka"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-73111be4/kappa/record"
)

// Each hasher is held against the code that it is compatible with: goka's hasher in
// the partitioner of goka's producer, and what franz-go does by default, which is
// what Java's client does. Package record pins both.
func TestHashersPlaceKeysAsTheirModelsDo(t *testing.T) {
	theirs := sarama.NewCustomHashPartitioner(goka.DefaultHasher())("t")
	javas := kgo.StickyKeyPartitioner(nil).ForTopic("t")
	for _, k := range wireKeys() {
		for _, n := range []int32{1, 2, 3, 5, 8, 12, 17, 50, 1000, math.MaxInt32} {
			want, err := theirs.Partition(&sarama.ProducerMessage{Key: sarama.StringEncoder(k)}, n)
			if err != nil {
				t.Fatal(err)
			}
			if got := record.FNV1a.Partition([]byte(k), n); got != want {
				t.Errorf("fnv1a of %q among %d = %d, goka places it on %d", k, n, got, want)
			}
			want = int32(javas.Partition(&kgo.Record{Key: []byte(k)}, int(n)))
			if got := record.Murmur2.Partition([]byte(k), n); got != want {
				t.Errorf("murmur2 of %q among %d = %d, franz-go places it on %d", k, n, got, want)
			}
		}
	}
}
