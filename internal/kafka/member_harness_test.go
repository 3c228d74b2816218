package kafka

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/seed-73111be4/kappa/internal/kafka/balance"
)

// memberPatience bounds every wait of these tests: session timeouts are 6 s.
const memberPatience = 40 * time.Second

// onBrokers runs a membership test on the brokers that the environment names, else
// on the in-process one. How transactions end is none of a group's concern: of the
// real brokers, those of one version do.
func onBrokers(t *testing.T, test func(*memberBed)) {
	t.Parallel()
	brokers := realBrokers()
	if brokers == nil {
		test(newFakeBed(t))
		return
	}
	b := newMemberBed(t, brokers, nil)
	if b.cluster.TransactionVersion() < 2 {
		t.Skip("membership does not depend on the transaction protocol")
	}
	test(b)
}

// faultyBed is a bed on the in-process broker, for tests that need its faults.
func faultyBed(t *testing.T) *memberBed {
	if realBrokers() != nil {
		t.Skip("needs faults that only kfake has")
	}
	t.Parallel()
	return newFakeBed(t)
}

func newFakeBed(t *testing.T) *memberBed {
	fake := startFake(t, kfake.NumBrokers(1))
	return newMemberBed(t, fake.ListenAddrs(), fake)
}

// memberBed is one group on one cluster with a ledger of who holds what.
type memberBed struct {
	*testing.T
	cluster *Cluster
	fake    *kfake.Cluster // nil on a real broker
	group   string

	mu     sync.Mutex
	owners map[int32]*testMember
	faults []string
	news   chan struct{} // closed and replaced at every event
}

func newMemberBed(t *testing.T, brokers []string, fake *kfake.Cluster) *memberBed {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), memberPatience)
	defer cancel()
	c, err := Open(ctx, Config{Brokers: brokers})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	name := strings.NewReplacer("/", "-").Replace(t.Name())
	b := &memberBed{T: t, cluster: c, fake: fake, owners: make(map[int32]*testMember), news: make(chan struct{})}
	b.group = fmt.Sprintf("%s-%x", name, time.Now().UnixNano())
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, f := range b.faults {
			t.Error(f)
		}
	})
	return b
}

// topics creates topics and returns their full names.
func (b *memberBed) topics(partitions int32, names ...string) []string {
	b.Helper()
	var full []string
	var specs []TopicSpec
	for _, n := range names {
		full = append(full, b.group+"-"+n)
		specs = append(specs, TopicSpec{Name: b.group + "-" + n, Partitions: partitions})
	}
	ctx, cancel := context.WithTimeout(context.Background(), memberPatience)
	defer cancel()
	if _, err := b.cluster.CreateTopics(ctx, specs...); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { b.cluster.DeleteTopics(context.Background(), full...) })
	return full
}

func testShape(fingerprint string, topics ...string) balance.Shape {
	return balance.Shape{Fingerprint: fingerprint, Hasher: "fnv1a", Inputs: topics, Table: "t"}
}

// testMember is a listener that keeps the ledger.
type testMember struct {
	bed  *memberBed
	name string
	m    *Member

	// guarded by bed.mu
	held     map[int32][]string
	fence    Fence
	assigned int // calls
	added    int // tasks ever
	revoked  int
	lost     int
	follows  []int32
	failure  error
	busy     bool
	dead     bool
	trace    []string

	block   chan struct{} // where set, Revoked waits for it or its ctx
	session time.Duration // timeout
	standby int
	fresh   map[int32]int64
}

func (b *memberBed) join(name string, static bool, shape balance.Shape, more ...func(*testMember)) *testMember {
	b.Helper()
	tm := &testMember{bed: b, name: name, held: make(map[int32][]string), session: 6 * time.Second}
	for _, f := range more {
		f(tm)
	}
	ctx, cancel := context.WithTimeout(context.Background(), memberPatience)
	defer cancel()
	m, err := b.cluster.Join(ctx, MemberConfig{
		Group: b.group, Instance: name, Static: static, Shape: shape,
		SessionTimeout: tm.session, HeartbeatInterval: 100 * time.Millisecond,
		Standbys: tm.standby, Fresh: tm.copies,
	}, tm)
	if err != nil {
		b.Fatal(err)
	}
	b.mu.Lock()
	tm.m = m
	b.mu.Unlock()
	b.Cleanup(tm.kill)
	return tm
}

func (tm *testMember) copies() map[int32]int64 {
	tm.bed.mu.Lock()
	defer tm.bed.mu.Unlock()
	return maps.Clone(tm.fresh)
}

func (tm *testMember) kill() {
	tm.m.Kill()
	tm.bed.mu.Lock()
	defer tm.bed.mu.Unlock()
	if !tm.dead {
		tm.dead = true
		tm.dropAll()
	}
}

func (tm *testMember) close(leave bool) {
	ctx, cancel := context.WithTimeout(context.Background(), memberPatience)
	defer cancel()
	tm.m.Close(ctx, leave)
	if n := len(tm.m.holding()); n > 0 {
		tm.bed.Errorf("%s holds %d tasks after Close", tm.name, n)
	}
}

// enter is called at the start of every listener call and returns its end.
func (tm *testMember) enter(what string, args ...any) (leave func()) {
	b := tm.bed
	b.mu.Lock()
	if tm.busy {
		b.fault("%s: %s called during another call", tm.name, what)
	}
	if tm.dead || tm.failure != nil {
		b.fault("%s: %s called after the end", tm.name, what)
	}
	tm.busy = true
	tm.trace = append(tm.trace, what+fmt.Sprint(args...))
	return func() {
		tm.busy = false
		b.announce()
		b.mu.Unlock()
	}
}

// announce wakes those who wait; the caller holds mu.
func (b *memberBed) announce() {
	close(b.news)
	b.news = make(chan struct{})
}

func (b *memberBed) fault(format string, args ...any) {
	b.faults = append(b.faults, fmt.Sprintf(format, args...))
}

func (tm *testMember) Assigned(f Fence, added []TaskTopics) {
	defer tm.enter("assigned ", f.Generation, added)()
	b := tm.bed
	if f.Group != b.group || f.Member == "" || f.Generation < tm.fence.Generation && f.Member == tm.fence.Member {
		b.fault("%s: fence %+v after %+v", tm.name, f, tm.fence)
	}
	tm.fence = f
	tm.assigned++
	tm.added += len(added)
	for _, t := range added {
		if o := b.owners[t.Task]; o != nil {
			b.fault("task %d given to %s while %s holds it", t.Task, tm.name, o.name)
		}
		b.owners[t.Task], tm.held[t.Task] = tm, t.Topics
	}
}

func (tm *testMember) Revoked(ctx context.Context, tasks []TaskTopics) {
	leave := tm.enter("revoked ", tasks)
	if tm.block != nil {
		block := tm.block
		tm.bed.announce()
		tm.bed.mu.Unlock()
		select {
		case <-block:
		case <-ctx.Done():
		}
		tm.bed.mu.Lock()
	}
	defer leave()
	tm.revoked += len(tasks)
	tm.letGo(tasks)
}

func (tm *testMember) Lost(tasks []TaskTopics) {
	defer tm.enter("lost ", tasks)()
	tm.lost += len(tasks)
	tm.letGo(tasks)
}

func (tm *testMember) letGo(tasks []TaskTopics) {
	for _, t := range tasks {
		if !slices.Equal(tm.held[t.Task], t.Topics) {
			tm.bed.fault("%s lets go of %v, holds %v of it", tm.name, t, tm.held[t.Task])
		}
		tm.drop(t.Task)
	}
}

func (tm *testMember) Follow(tasks []int32) {
	defer tm.enter("follow ", tasks)()
	tm.follows = tasks
}

func (tm *testMember) Failed(err error) {
	defer tm.enter("failed ", err)()
	tm.failure = err
	if len(tm.held) > 0 {
		tm.bed.fault("%s failed while it holds %v", tm.name, tm.held)
	}
}

func (tm *testMember) drop(task int32) {
	delete(tm.held, task)
	if tm.bed.owners[task] == tm {
		delete(tm.bed.owners, task)
	}
}

func (tm *testMember) dropAll() {
	for task := range tm.held {
		tm.drop(task)
	}
}

// await waits until cond holds; it is called with the ledger locked.
func (b *memberBed) await(what string, cond func() bool) {
	b.Helper()
	deadline := time.After(memberPatience)
	for {
		b.mu.Lock()
		ok, news := cond(), b.news
		b.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-news:
		case <-deadline:
			b.mu.Lock()
			defer b.mu.Unlock()
			held := make(map[string][]int32)
			for task, o := range b.owners {
				held[o.name] = append(held[o.name], task)
			}
			b.Fatalf("waited %s for %s; held: %v", memberPatience, what, held)
		}
	}
}

// awaitBalance waits until the members hold n tasks among them, balanced within one.
func (b *memberBed) awaitBalance(n int, members ...*testMember) {
	b.Helper()
	b.await(fmt.Sprintf("%d tasks over %d members", n, len(members)), func() bool {
		total, least, most := 0, n, 0
		for _, m := range members {
			total, least, most = total+len(m.held), min(least, len(m.held)), max(most, len(m.held))
		}
		return total == n && most-least <= 1
	})
}

// locked runs f with the ledger locked.
func (b *memberBed) locked(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
}

func (tm *testMember) tasks() []int32 { return slices.Sorted(maps.Keys(tm.held)) }
