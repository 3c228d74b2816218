package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed-73111be4/kappa/record"
)

func testFetcher(t testing.TB, c *Cluster) *Fetcher {
	t.Helper()
	f, err := c.NewFetcher(FetchConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

// fetchTo polls until the partition's position, in the given epoch, is at least
// end, and returns its records' values.
func fetchTo(t testing.TB, f *Fetcher, p record.Partition, epoch uint64, end int64) string {
	t.Helper()
	ctx := testContext(t)
	var values []string
	for next := int64(0); next < end; {
		fs, err := f.Poll(ctx)
		if err != nil {
			t.Fatalf("after %q at %d: %v", values, next, err)
		}
		for i := range fs {
			if fs[i].Err != nil {
				t.Fatal(fs[i].Err)
			}
			if fs[i].Partition == p && fs[i].Epoch == epoch {
				for j := range fs[i].Records {
					values = append(values, string(fs[i].Records[j].Value))
				}
				next = fs[i].Next
			}
			fs[i].Release()
		}
	}
	return strings.Join(values, " ")
}

// fetchErr polls until a partition is stopped by an error.
func fetchErr(t testing.TB, f *Fetcher) Fetched {
	t.Helper()
	ctx := testContext(t)
	for {
		fs, err := f.Poll(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for i := range fs {
			if fs[i].Err != nil {
				return fs[i]
			}
			fs[i].Release()
		}
	}
}

// idle polls for a while and fails when anything comes.
func idle(t testing.TB, f *Fetcher) {
	t.Helper()
	ctx, cancel := context.WithTimeout(testContext(t), 300*time.Millisecond)
	defer cancel()
	if fs, err := f.Poll(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("fetched %+v, %v", fs, err)
	}
}

func TestFetcherDeliversCommittedRecordsFromExactOffsets(t *testing.T) {
	c := testCluster(t)
	topic := testTopic(t, c, 2)
	p := testProducer(t, c, ProducerConfig{Compression: "lz4"})
	transact(t, p, true, topic, 0, "a", "b")
	transact(t, p, false, topic, 0, "x")
	transact(t, p, true, topic, 0, "c")
	transact(t, p, true, topic, 1, "d", "e")
	end := endsOf(t, c, at(topic, 0))
	f := testFetcher(t, c)
	f.Seek(Seek{Partition: at(topic, 0), Offset: 0, Epoch: 1, TopicID: end.TopicID})
	wantEqual(t, "partition 0", fetchTo(t, f, at(topic, 0), 1, end.HighWatermark), "a b c")
	f.Seek(Seek{Partition: at(topic, 1), Offset: 1, Epoch: 1})
	wantEqual(t, "partition 1", fetchTo(t, f, at(topic, 1), 1, 3), "e")
	idle(t, f)
	f.Seek(Seek{Partition: at(topic, 0), Offset: 1, Epoch: 2})
	wantEqual(t, "partition 0 again", fetchTo(t, f, at(topic, 0), 2, end.HighWatermark), "b c")
	transact(t, p, true, topic, 0, "f")
	wantEqual(t, "partition 0 later", fetchTo(t, f, at(topic, 0), 2, end.HighWatermark+1), "f")
}

func TestFetcherStopsPausesAndResumes(t *testing.T) {
	c := testCluster(t)
	topic := testTopic(t, c, 2)
	f := testFetcher(t, c)
	f.Seek(Seek{Partition: at(topic, 0), Epoch: 1}, Seek{Partition: at(topic, 1), Epoch: 1})
	idle(t, f)
	f.Pause(at(topic, 0))
	plainly(t, c, topic, 0, "a", "b")
	plainly(t, c, topic, 1, "c")
	wantEqual(t, "the other partition", fetchTo(t, f, at(topic, 1), 1, 1), "c")
	idle(t, f)
	f.Resume(at(topic, 0))
	wantEqual(t, "after resume", fetchTo(t, f, at(topic, 0), 1, 2), "a b")
	f.Stop(at(topic, 0))
	plainly(t, c, topic, 0, "d")
	idle(t, f)
	f.Seek(Seek{Partition: at(topic, 0), Offset: 2, Epoch: 2})
	wantEqual(t, "after seek", fetchTo(t, f, at(topic, 0), 2, 3), "d")
}

func TestPauseLosesNothingThatIsBuffered(t *testing.T) {
	c := testCluster(t)
	topic := testTopic(t, c, 1)
	plainly(t, c, topic, 0, "a", "b", "c")
	f := testFetcher(t, c)
	f.Seek(Seek{Partition: at(topic, 0), Epoch: 1})
	ctx := testContext(t)
	f.obey(ctx) // let the client buffer, unseen
	for f.cl.BufferedFetchRecords() < 3 {
		if !pause(ctx, time.Millisecond) {
			t.Fatal("nothing is buffered")
		}
	}
	f.Pause(at(topic, 0))
	idle(t, f)
	wantEqual(t, "held", len(f.held), 1)
	f.Resume(at(topic, 0))
	wantEqual(t, "after resume", fetchTo(t, f, at(topic, 0), 1, 3), "a b c")
	f.Pause(at(topic, 0))
	plainly(t, c, topic, 0, "d")
	idle(t, f)
	f.Seek(Seek{Partition: at(topic, 0), Offset: 2, Epoch: 2})
	wantEqual(t, "seek ends the pause", fetchTo(t, f, at(topic, 0), 2, 4), "c d")
}

func TestSeekInterruptsAPoll(t *testing.T) {
	c := testCluster(t)
	topic := testTopic(t, c, 1)
	plainly(t, c, topic, 0, "a")
	f := testFetcher(t, c)
	time.AfterFunc(50*time.Millisecond, func() { f.Seek(Seek{Partition: at(topic, 0), Epoch: 5}) })
	wantEqual(t, "fetched", fetchTo(t, f, at(topic, 0), 5, 1), "a")
}

// What was fetched before a seek must never carry the epoch of after it, however
// the seeks and polls fall together.
func TestEpochsTellOldFromNew(t *testing.T) {
	c := testCluster(t)
	ctx := testContext(t)
	topic := testTopic(t, c, 1)
	p := testProducer(t, c, ProducerConfig{})
	const n = 5000
	for i := range n {
		p.Produce(&Out{Topic: topic, Value: fmt.Append(nil, i), Timestamp: 1})
	}
	_, r := p.Flush(ctx)
	wantOutcome(t, OK, r)
	wantOutcome(t, OK, p.End(ctx, true))
	f, err := c.NewFetcher(FetchConfig{MaxPartitionBytes: 2000})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const seeks = 60
	start := func(epoch uint64) int64 { return int64(epoch * 37 % n) }
	done := make(chan struct{})
	go func() {
		defer close(done)
		for e := uint64(1); e <= seeks; e++ {
			f.Seek(Seek{Partition: at(topic, 0), Offset: start(e), Epoch: e})
			pause(ctx, time.Duration(e%7)*time.Millisecond)
		}
	}()
	next, epoch := int64(0), uint64(0)
	for epoch < seeks || next < n {
		fs, err := f.Poll(ctx)
		if err != nil {
			t.Fatalf("epoch %d at %d: %v", epoch, next, err)
		}
		for i := range fs {
			if fs[i].Err != nil {
				t.Fatal(fs[i].Err)
			}
			if fs[i].Epoch != epoch {
				epoch, next = fs[i].Epoch, start(fs[i].Epoch)
			}
			for _, r := range fs[i].Records {
				if r.Offset != next || string(r.Value) != fmt.Sprint(next) {
					t.Fatalf("epoch %d: record %q at offset %d, want offset %d", epoch, r.Value, r.Offset, next)
				}
				next++
			}
			fs[i].Release()
		}
	}
	<-done
}

func TestFetcherSaysWhenTheLogIsNotThere(t *testing.T) {
	c := testCluster(t)
	ctx := testContext(t)
	topic := testTopic(t, c, 1)
	plainly(t, c, topic, 0, "a", "b", "c")
	if err := c.DeleteRecords(ctx, map[record.Partition]int64{at(topic, 0): 2}); err != nil {
		t.Fatal(err)
	}
	f := testFetcher(t, c)
	for _, offset := range []int64{0, 9} {
		f.Seek(Seek{Partition: at(topic, 0), Offset: offset, Epoch: 3})
		got := fetchErr(t, f)
		if !errors.Is(got.Err, record.ErrOffsetOutOfRange) || got.Partition != at(topic, 0) || got.Epoch != 3 || got.Next != offset {
			t.Errorf("%+v", got)
		}
	}
	f.Seek(Seek{Partition: at(topic, 0), Offset: 2, Epoch: 4})
	wantEqual(t, "after the error", fetchTo(t, f, at(topic, 0), 4, 3), "c")
}

func TestFetcherNoticesARecreatedTopic(t *testing.T) {
	c := testCluster(t)
	topic := testTopic(t, c, 1)
	plainly(t, c, topic, 0, "a", "b")
	id := endsOf(t, c, at(topic, 0)).TopicID
	f := testFetcher(t, c)
	f.Seek(Seek{Partition: at(topic, 0), Epoch: 1, TopicID: id})
	wantEqual(t, "before", fetchTo(t, f, at(topic, 0), 1, 2), "a b")
	recreate(t, c, TopicSpec{Name: topic, Partitions: 1})
	plainly(t, c, topic, 0, "c", "d", "e")
	if got := fetchErr(t, f); !errors.Is(got.Err, record.ErrRecreated) {
		t.Errorf("while it was fetched: %v", got.Err)
	}
	f.Seek(Seek{Partition: at(topic, 0), Epoch: 2, TopicID: id})
	if got := fetchErr(t, f); !errors.Is(got.Err, record.ErrRecreated) || got.Epoch != 2 {
		t.Errorf("at the seek: %+v", got)
	}
}

func TestFetcherSaysWhenATopicVanishes(t *testing.T) {
	c := testCluster(t)
	topic := testTopic(t, c, 1)
	plainly(t, c, topic, 0, "a")
	f := testFetcher(t, c)
	f.Seek(Seek{Partition: at(topic, 0), Epoch: 1, TopicID: endsOf(t, c, at(topic, 0)).TopicID})
	wantEqual(t, "before", fetchTo(t, f, at(topic, 0), 1, 1), "a")
	if err := c.DeleteTopics(testContext(t), topic); err != nil {
		t.Fatal(err)
	}
	if got := fetchErr(t, f); !errors.Is(got.Err, record.ErrUnknownTopic) {
		t.Errorf("%v", got.Err)
	}
}

func TestFetcherSurvivesLeaderChangesAndRefusals(t *testing.T) {
	fake := fakeCluster(t, kfake.NumBrokers(3))
	c := openCluster(t, fake.ListenAddrs())
	topic := testTopic(t, c, 1)
	f := testFetcher(t, c)
	f.Seek(Seek{Partition: at(topic, 0), Epoch: 1})
	for i, refuse := range []*kerr.Error{nil, kerr.NotLeaderForPartition, kerr.KafkaStorageError, kerr.UnknownLeaderEpoch, kerr.UnknownServerError, kerr.UnknownTopicOrPartition} {
		if refuse != nil {
			fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: refuse, Count: 2})
		}
		if err := fake.MoveTopicPartition(topic, 0, int32(i%3)); err != nil {
			t.Fatal(err)
		}
		plainly(t, c, topic, 0, fmt.Sprint(i))
		wantEqual(t, fmt.Sprint("after ", refuse), fetchTo(t, f, at(topic, 0), 1, int64(i)+1), fmt.Sprint(i))
	}
}

func TestFetcherWithoutPermissionSaysSo(t *testing.T) {
	fake := fakeCluster(t, kfake.NumBrokers(1))
	c := openCluster(t, fake.ListenAddrs())
	topic := testTopic(t, c, 1)
	fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.TopicAuthorizationFailed})
	f := testFetcher(t, c)
	f.Seek(Seek{Partition: at(topic, 0), Epoch: 1})
	if got := fetchErr(t, f); !errors.Is(got.Err, kerr.TopicAuthorizationFailed) || !strings.Contains(got.Err.Error(), "grant Read") {
		t.Errorf("%v", got.Err)
	}
}

func TestConvertingDoesNotAllocatePerRecord(t *testing.T) {
	f := &Fetcher{parts: map[record.Partition]*fetching{}}
	const n = 1000
	rs := make([]kgo.Record, n)
	fp := kgo.FetchPartition{HighWatermark: n}
	for i := range rs {
		rs[i] = kgo.Record{Topic: "t", Offset: int64(i), Key: []byte("k"), Value: []byte("v"), Headers: []kgo.RecordHeader{{Key: "h"}}}
		fp.Records = append(fp.Records, &rs[i])
	}
	st := &fetching{}
	allocs := testing.AllocsPerRun(100, func() {
		st.next = 0
		got := f.take(record.Partition{Topic: "t"}, st, &fp)
		if len(got.Records) != n || got.Next != n {
			t.Fatal("not all converted")
		}
		got.Release()
	})
	if allocs > 10 {
		t.Errorf("%v allocations for %d records", allocs, n)
	}
}
