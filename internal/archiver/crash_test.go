package archiver_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-73111be4/kappa/archive"
	"github.com/seed-73111be4/kappa/archive/buckettest"
	"github.com/seed-73111be4/kappa/internal/archiver"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/internal/testenv"
	"github.com/seed-73111be4/kappa/record"
)

// childVariable makes this test binary an archiver.
const childVariable = "KAPPA_TEST_ARCHIVER"

type child struct {
	Brokers []string
	URL     string
	Topic   string
	Group   string

	MemoryBytes int64 // 0: small segments, and everything often
}

// run archives until it is killed.
func (c child) run(t testing.TB) {
	cluster, err := kafka.Open(context.Background(), kafka.Config{Brokers: c.Brokers})
	if err != nil {
		t.Fatal(err)
	}
	a, err := archiver.New(c.memory(c.config(cluster, openArchive(t, c.URL))))
	if err != nil {
		t.Fatal(err)
	}
	t.Fatal(a.Run(context.Background()))
}

// config makes everything happen often: small segments, merges, collections.
func (c child) config(cluster *kafka.Cluster, a *archive.Archive) archiver.Config {
	return archiver.Config{
		Cluster: cluster, Archive: a, Topics: archiver.Patterns{c.Topic}, Group: c.Group, SessionTimeout: 6 * time.Second,
		SegmentBytes: 64 << 10, SegmentAge: 20 * time.Millisecond, ScanEvery: 20 * time.Millisecond, TopicsEvery: 200 * time.Millisecond,
		TendEvery: 100 * time.Millisecond, Grace: 3 * time.Second, Jobs: 2,
	}
}

// TestArchiverProcess is no test: it is the process that the tests kill.
func TestArchiverProcess(t *testing.T) {
	var c child
	text := os.Getenv(childVariable)
	if text == "" {
		t.Skip("a child process of the kill test, which sets its variable")
	}
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	c.run(t)
}

// Two processes archive what is written meanwhile, and are killed at random, as is the
// S3 server where there is one; nothing is lost, nothing is there twice, and no object
// is left over.
func TestKilledArchiversLoseAndDoubleNothing(t *testing.T) {
	t.Run("file", func(t *testing.T) {
		r := newRig(t, clusters.Kafka(t, testenv.KafkaTV2))
		r.killArchivers(func(*rand.Rand) {})
	})
	t.Run("s3", func(t *testing.T) {
		r := newRig(t, clusters.Kafka(t, testenv.KafkaTV2))
		s3 := r.onS3()
		r.killArchivers(func(random *rand.Rand) {
			if random.IntN(2) == 0 {
				return
			}
			if err := s3.Process().Kill(); err != nil {
				t.Fatal(err)
			}
			if err := s3.Process().Restart(); err != nil {
				t.Fatal(err)
			}
		})
	})
}

// killArchivers kills and restarts two processes; between is called before each kill.
func (r *rig) killArchivers(between func(*rand.Rand)) {
	const partitions = 3
	t, topic := r.t, r.Topic(partitions)
	c := child{Brokers: r.env.Brokers(), URL: r.url, Topic: topic, Group: testenv.Name(t)}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	processes := []*testenv.Process{c.start(t), c.start(t)}
	written := 0
	for range 5 {
		for until := time.Now().Add(time.Duration(500+random.IntN(1500)) * time.Millisecond); time.Now().Before(until); written++ {
			p := record.Partition{Topic: topic, Partition: int32(random.IntN(partitions))}
			r.Write(p, random.IntN(4) != 0, values(100*written, 1+random.IntN(100))...)
		}
		between(random)
		i := random.IntN(len(processes))
		if err := processes[i].Kill(); err != nil {
			t.Fatal(err)
		}
		processes[i] = c.start(t)
	}
	for p := range int32(partitions) {
		m := r.same(record.Partition{Topic: topic, Partition: p})
		if len(m.Gaps) > 0 {
			t.Errorf("gaps %v", m.Gaps)
		}
	}
	for _, p := range processes {
		if err := p.Kill(); err != nil {
			t.Error(err)
		}
	}
	r.sweep(topic, partitions)
	t.Logf("%d transactions", written)
}

// start starts the process.
func (c child) start(t testing.TB) *testenv.Process {
	t.Helper()
	cmd, err := testenv.Self(childVariable, c)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Args = append(cmd.Args, "-test.run=^TestArchiverProcess$", "-test.timeout=5m")
	p, err := testenv.Start(t, cmd)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// sweep collects what no longer counts, and demands that nothing else is left.
func (r *rig) sweep(topic string, partitions int32) {
	r.t.Helper()
	ctx := context.Background()
	for p := range partitions {
		part := record.Partition{Topic: topic, Partition: p}
		w, err := r.archive.Writer(ctx, r.of(part))
		if err != nil {
			r.t.Fatal(err)
		}
		eventually(r.t, "everything that does not count is collected", func() bool {
			if _, err := w.Collect(ctx, archive.CollectConfig{Grace: time.Nanosecond}); err != nil {
				r.t.Fatal(err)
			}
			m, err := w.Manifest(ctx)
			if err != nil {
				r.t.Fatal(err)
			}
			v, err := r.archive.Verify(ctx, m, archive.VerifyConfig{})
			if err != nil || len(v.Damage) > 0 {
				r.t.Fatal(v.Damage, err)
			}
			return len(v.Orphans) == 0 && len(m.Dropped) == 0
		})
		r.same(part)
	}
}

// The store fails at random, in every way that buckettest knows; the archiver goes on.
func TestFaultsOfTheStoreCostOnlyTime(t *testing.T) { buckettest.Each(t, bearFaults) }

func bearFaults(t *testing.T, s3 *buckettest.S3) {
	r := newRig(t, testenv.Fake(t))
	r.url = s3.URL()
	r.archive = openArchive(t, r.url)
	p := record.Partition{Topic: r.Topic(1)}
	c := child{Topic: p.Topic, Group: testenv.Name(t)}
	a := r.start(archiver.Patterns{p.Topic}, func(config *archiver.Config) {
		*config = c.config(config.Cluster, openArchive(t, r.url))
		config.Log = r.log
	})
	random := rand.New(rand.NewPCG(5, 5))
	for i := range 9 {
		r.Write(p, i%3 != 1, values(100*i, 20)...)
		method := []string{"PUT", "GET", "POST", ""}[random.IntN(4)]
		switch random.IntN(7) {
		case 0:
			s3.Fault(buckettest.Status(method, "", 1+random.IntN(4), 503, "SlowDown"))
		case 4:
			s3.Fault(buckettest.HangUp(method, "", 1+random.IntN(4)))
		case 5:
			s3.Fault(buckettest.HalfUpload("PUT", "", 1+random.IntN(2)))
		case 6:
			s3.Fault(buckettest.Slow(method, "", 1+random.IntN(4), 50*time.Millisecond))
		case 1:
			s3.Fault(buckettest.LoseAnswer("PUT", "", 1+random.IntN(4)))
		case 2:
			s3.Fault(buckettest.HalfBody("GET", "", 1+random.IntN(3)))
		default:
			s3.Fault(buckettest.Status("PUT", "manifest/", 1, 409, "ConditionalRequestConflict"))
		}
		if end := r.Ends(p).LastStable; i%3 == 2 {
			eventually(t, "the archiver goes on", func() bool {
				s := a.Stats()
				return len(s.Partitions) == 1 && s.Partitions[0].End >= end
			})
		}
	}
	s3.Clear()
	r.same(p)
	a.stop()
	r.sweep(p.Topic, 1)
	r.same(p)
}

// Each possible number of writes is followed by a crash: of the archiver's requests, n
// reach the store, and then none does any more. Another archiver goes on.
func TestACrashAfterEachWriteLosesNothing(t *testing.T) {
	env := testenv.Fake(t)
	s3 := buckettest.Start(t)
	for n := range 13 { // the first three ask what the bucket can
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			r := newRig(t, env)
			r.url = s3.URL()
			r.archive = openArchive(t, r.url)
			p := record.Partition{Topic: r.Topic(1)}
			for i := range 6 {
				r.Write(p, i%3 != 1, values(100*i, 50)...)
			}
			c := child{Topic: p.Topic, Group: testenv.Name(t)}
			config := func(config *archiver.Config) {
				*config = c.config(config.Cluster, openArchive(t, r.url))
				config.Log, config.SegmentBytes = r.log, 1<<10
			}
			crashed := crashAfter(s3, n)
			a := r.start(archiver.Patterns{p.Topic}, func(c *archiver.Config) {
				config(c)
				c.StopTimeout = time.Millisecond
			})
			eventually(t, "the crash", crashed.Load)
			a.stop()
			s3.Clear()
			r.start(archiver.Patterns{p.Topic}, config)
			r.same(p)
			r.Write(p, true, values(1000, 50)...)
			r.same(p)
		})
	}
}

// crashAfter lets n writes pass; then nothing is answered any more.
func crashAfter(s3 *buckettest.S3, n int) *atomic.Bool {
	var writes atomic.Int64
	crashed := new(atomic.Bool)
	s3.Fault(buckettest.Fault{Times: 1 << 30, Serve: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead && writes.Add(1) > int64(n) {
			crashed.Store(true)
		}
		if crashed.Load() {
			buckettest.Status("", "", 1, 403, "AccessDenied").Serve(w, r, next)
			return
		}
		next.ServeHTTP(w, r)
	}})
	return crashed
}
