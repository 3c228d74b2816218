package chaos

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/internal/testenv"
	"github.com/seed-73111be4/kappa/record"
)

// options say what a run is like.
type options struct {
	seed        uint64
	nodes       int
	keys, rate  int
	tasks, outs int32 // partitions of the input, and of the output
	commit      time.Duration
}

const (
	session = 6 * time.Second // of the instances; the least that brokers allow by default
	flush   = 2 * time.Second // how old committed state may be that is not on disk
	workers = 2
)

// rig is a cluster, a group on it, and all that feeds and watches them.
type rig struct {
	t       *testing.T
	o       options
	ctx     context.Context // of what watches; ends with the test
	cancel  context.CancelFunc
	env     *testenv.Cluster
	k       *kafka.Cluster
	cl      *kgo.Client
	admin   *kadm.Client
	child   childRun
	dir     string
	logs    string
	watched sync.WaitGroup

	followed context.CancelFunc // ends the verifier's reading

	stalls   *stalls
	feeder   *feeder
	verifier *verifier
	ledger   *ledger
	usage    usage

	mu        sync.Mutex // guards what follows
	instances map[int]*instance
	problems  []string
}

func newRig(t *testing.T, o options) *rig {
	t.Helper()
	r := &rig{
		t: t, o: o, dir: t.TempDir(), logs: t.ArtifactDir(), stalls: newStalls(int(o.tasks)), ledger: newLedger(2 * flush),
		instances: map[int]*instance{},
		env: testenv.Kafka(t, testenv.Options{Nodes: o.nodes, Properties: map[string]string{
			"log.retention.check.interval.ms": "10000", "log.segment.delete.delay.ms": "1000",
		}}),
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	t.Cleanup(func() { r.cancel(); r.watched.Wait(); r.show() })
	r.connect()
	name := testenv.Name(t)
	r.child = childRun{
		Brokers: r.env.Brokers(), Group: name, In: name + "-in", Out: name + "-out",
		Workers: workers, Commit: o.commit, Session: session, Flush: flush,
	}
	r.createTopics()
	r.verifier = newVerifier(r.child.In, r.child.Out, o.tasks, o.keys, r.stalls)
	var err error
	if r.feeder, err = newFeeder(r.env.Brokers(), r.child.In, o.tasks, o, r.stalls); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.feeder.cl.Close)
	return r
}

func (r *rig) connect() {
	r.t.Helper()
	var err error
	if r.k, err = kafka.Open(r.ctx, kafka.Config{Brokers: r.env.Brokers()}); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(r.k.Close)
	if r.cl, err = kgo.NewClient(kgo.SeedBrokers(r.env.Brokers()...), kgo.RecordPartitioner(kgo.ManualPartitioner())); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(r.cl.Close)
	r.admin = kadm.NewClient(r.cl)
}

// createTopics makes all topics, the group's table too: it is compacted early, so
// that a long run does not fill the disk.
func (r *rig) createTopics() {
	r.t.Helper()
	bounded := map[string]string{"retention.ms": "-1", "retention.bytes": "268435456", "segment.bytes": "67108864"}
	table := kafka.TableSpec(r.child.Group+"-table", r.o.tasks)
	maps.Copy(table.Config, map[string]string{"min.compaction.lag.ms": "0", "segment.bytes": "16777216"})
	_, err := r.k.CreateTopics(r.ctx,
		kafka.TopicSpec{Name: r.child.In, Partitions: r.o.tasks, Config: bounded},
		kafka.TopicSpec{Name: r.child.Out, Partitions: r.o.outs, Config: bounded}, table)
	if err != nil {
		r.t.Fatal(err)
	}
}

// problem notes what is wrong; the test goes on and fails in the end.
func (r *rig) problem(err error) {
	if err == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.problems = append(r.problems, err.Error())
}

// instance returns an instance by its number, new where there was none.
func (r *rig) instance(id int) *instance {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := r.instances[id]
	if i == nil {
		i = newInstance(r.t, r.child, r.dir, r.logs, id)
		r.instances[id] = i
	}
	return i
}

func (r *rig) all() []*instance {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []*instance
	for id := range len(r.instances) {
		out = append(out, r.instances[id])
	}
	return out
}

// launch starts an instance.
func (r *rig) launch(id int) *instance {
	r.t.Helper()
	i := r.instance(id)
	if err := i.start(); err != nil {
		r.t.Fatal(err)
	}
	return i
}

// watch follows the topics and the changelogs' ends, and looks at the instances from
// time to time.
func (r *rig) watch(d time.Duration, look func()) {
	ctx, cancel := context.WithCancel(r.ctx)
	r.followed = cancel
	r.watched.Go(func() { r.problem(r.verifier.follow(ctx, r.env.Brokers(), r.o.outs)) })
	r.watched.Go(func() { r.every(500*time.Millisecond, r.lookAtLogs) })
	r.watched.Go(func() { r.every(d, look) })
}

func (r *rig) every(d time.Duration, f func()) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			f()
		case <-r.ctx.Done():
			return
		}
	}
}

func (r *rig) lookAtLogs() {
	var parts []record.Partition
	for p := range r.o.tasks {
		for _, topic := range []string{r.child.Group + "-table", r.child.Group + "-state"} {
			parts = append(parts, record.Partition{Topic: topic, Partition: p})
		}
	}
	at := time.Now()
	all, err := r.k.EndsOf(r.ctx, parts...)
	if err != nil {
		return // the group has not made its topic, or a leader is on the move
	}
	e := ends{at: at, from: make([]int64, r.o.tasks), ends: make([]int64, r.o.tasks)}
	for p, end := range all {
		e.from[p.Partition] += end.Start
		e.ends[p.Partition] += end.HighWatermark
	}
	r.ledger.logs(e)
}

func (r *rig) lookAtInstances() {
	for _, i := range r.all() {
		r.lookAt(i)
	}
}

func (r *rig) lookAt(i *instance) {
	before, now, ok := i.look()
	if !ok {
		return
	}
	r.lookedAt(i, before, now)
}

// lookedAt notes what an instance has shown.
func (r *rig) lookedAt(i *instance, before, now figures) {
	if now.restores > before.restores {
		r.lookAtLogs() // what it may have replayed is not more than this
	}
	r.ledger.look(i.name, before, now)
	if i.age() > settledLife && now.at.Unix() != before.at.Unix() && now.at.Unix()%3 == 0 {
		r.usage.add(sample{now.at, now.rss, now.goroutines, now.files, float64(diskOf(i.run.Dir))})
	}
}

// until polls cond until it holds.
func (r *rig) until(what string, cond func() bool) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline.C:
			return fmt.Errorf("waited %v for %s", patience, what)
		}
	}
	return nil
}

// must ends the test on an error that leaves nothing to go on with.
func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// finish ends the feed, waits until all is announced, ends the instances, and
// checks what is in the topics. It returns how many records there were, and how
// many markers were read.
func (r *rig) finish() (records int64, markers int) {
	fed, err := r.feeder.finish(r.ctx)
	if err != nil {
		r.problem(err)
		return 0, 0
	}
	for _, n := range fed {
		records += n
	}
	if err := r.announced(fed); err != nil {
		r.problem(err)
		return records, 0
	}
	var ends sync.WaitGroup
	for _, i := range r.all() {
		ends.Go(func() {
			i.turn.Lock()
			defer i.turn.Unlock()
			r.lookAt(i)
			r.problem(i.end(stop))
		})
	}
	ends.Wait()
	r.problem(r.offsets(fed))
	r.followed()
	table, markers, err := r.readMarkers()
	r.problem(err)
	if err == nil {
		r.problem(differ(table, r.verifier.table()))
	}
	return records, markers
}

// announced waits until all that was fed is announced, as long as output comes.
func (r *rig) announced(fed []int64) error {
	var last int64
	for {
		var err error
		var whole bool
		late := r.until("output", func() bool {
			whole, err = r.verifier.whole(fed)
			pending := r.stalls.pending()
			more := pending != last
			last = pending
			return whole || err != nil || more
		})
		if late != nil {
			return fmt.Errorf("output is missing, and none came for %v:\n%s", patience, r.verifier.lacking(fed))
		}
		if whole || err != nil {
			return err
		}
	}
}

// offsets checks that the group's offsets are committed up to the end, none of them
// in a transaction that hangs.
func (r *rig) offsets(fed []int64) error {
	ctx, cancel := context.WithTimeout(r.ctx, patience)
	defer cancel()
	committed, err := r.k.Committed(ctx, r.child.Group, r.child.In)
	if err != nil {
		return err
	}
	var errs []error
	for p, n := range fed {
		if got := committed[record.Partition{Topic: r.child.In, Partition: int32(p)}]; got != n {
			errs = append(errs, fmt.Errorf("the group's offset of partition %d is %d, of %d records", p, got, n))
		}
	}
	return errors.Join(errs...)
}

// show prints the ends of the logs where the test has failed.
func (r *rig) show() {
	if !r.t.Failed() {
		return
	}
	for _, i := range r.all() {
		r.t.Logf("the log of %s:\n%s", i.name, i.said(40))
	}
}
