package kafka

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/seed-73111be4/kappa/record"
)

// emitterCluster is a one-node fake with the topic t of four partitions.
func emitterCluster(t *testing.T) *Cluster {
	t.Helper()
	fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(4, "t"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	c, err := Open(t.Context(), Config{Brokers: fake.ListenAddrs()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestEmitterPlacesKeysByHasherAndKeepsTheirOrder(t *testing.T) {
	for _, hasher := range []record.Hasher{record.FNV1a, record.Murmur2} {
		t.Run(hasher.Name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			c := emitterCluster(t)
			e, err := c.NewEmitter(EmitterConfig{Hasher: hasher})
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			const keys, rounds = 20, 5
			for i := range keys * rounds {
				r := record.Record{Topic: "t", Key: fmt.Appendf(nil, "k%d", i%keys), Value: fmt.Appendf(nil, "%d", i),
					Headers: []record.Header{{Key: "h", Value: []byte("x")}}, Timestamp: int64(1000 + i)}
				if err := e.Emit(ctx, r); err != nil {
					t.Fatal(err)
				}
			}
			if err := e.Flush(ctx); err != nil {
				t.Fatal(err)
			}
			read := 0
			for p := range int32(4) {
				read += checkEmitted(ctx, t, c, hasher, p)
			}
			if read != keys*rounds {
				t.Errorf("%d records, want %d", read, keys*rounds)
			}
		})
	}
}

// checkEmitted reads a partition and returns its number of records.
func checkEmitted(ctx context.Context, t *testing.T, c *Cluster, hasher record.Hasher, p int32) (n int) {
	t.Helper()
	part := record.Partition{Topic: "t", Partition: p}
	ends, err := c.Ends(ctx, part)
	if err != nil {
		t.Fatal(err)
	}
	log := c.Open(part, 0)
	defer log.Close()
	last := make(map[string]int64)
	for next := int64(0); next < ends.HighWatermark; {
		b, err := log.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		next = b.Next
		for _, r := range b.Records {
			n++
			if want := hasher.Partition(r.Key, 4); want != p {
				t.Errorf("key %s is in partition %d, want %d", r.Key, p, want)
			}
			if r.Timestamp <= last[string(r.Key)] || len(r.Headers) != 1 || r.Headers[0].Key != "h" {
				t.Errorf("key %s: timestamp %d after %d, headers %v", r.Key, r.Timestamp, last[string(r.Key)], r.Headers)
			}
			last[string(r.Key)] = r.Timestamp
		}
	}
	return n
}

func TestEmitterNamesTheRecordThatCouldNotBeWritten(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	e, err := emitterCluster(t).NewEmitter(EmitterConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if err := e.Emit(ctx, record.Record{Topic: "t", Key: []byte("big"), Value: make([]byte, 4<<20)}); err != nil {
		t.Fatal(err)
	}
	err = e.Flush(ctx)
	if err == nil || !strings.Contains(err.Error(), `write to t with key "big"`) {
		t.Fatalf("flush: %v", err)
	}
	if again := e.Emit(ctx, record.Record{Topic: "t"}); again == nil || again.Error() != err.Error() {
		t.Errorf("a failed emitter went on: %v", again)
	}
	if _, err := (&Cluster{}).NewEmitter(EmitterConfig{Compression: "lzma"}); err == nil {
		t.Error("an unknown compression was taken")
	}
}
