package engine

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/codec"

	"github.com/seed-73111be4/kappa/processors"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/topology"
)

const (
	simTasks   = 4
	simCluster = "cluster"
	simIn      = "in"
	simUsers   = "users"
	simOut     = "out"
	simKeys    = 9
	simHops    = "hops"
	simVisited = "visited"
	maxCount   = 5 // at which a key's count is deleted
	maxHops    = 4
)

// simPlan counts per key and tells an output, sends some keys on through the loop,
// counts their hops in a named store, deletes what has grown, follows a joined
// table, and sets aside what it cannot process.
var simPlan = mustPlan()

var simShape = shapeOf(simPlan)

func mustPlan() *topology.Plan {
	plan, err := topology.Group("sim",
		topology.Input(simIn, new(codec.String), simCount),
		topology.Join(simUsers, new(codec.String)),
		topology.Loop(new(codec.Int64), simHop),
		topology.Persist(new(codec.Int64)),
		topology.Store(simHops, new(codec.Int64)),
		topology.Output(simOut, new(codec.String)),
		topology.Output(simVisited, new(codec.Int64)),
		topology.Visitor("look", simLook),
		topology.DeadLetter("dead"),
	).Build()
	if err != nil {
		panic(err)
	}
	return plan
}

var errBad = errors.New("a bad record")

func simCount(ctx goka.Context, msg any) {
	n, _ := ctx.Value().(int64)
	n++
	ctx.SetValue(n)
	ctx.Emit(simOut, ctx.Key(), fmt.Sprintf("count %d of %d", n, ctx.Offset()))
	ctx.Join(simUsers)
	if n%3 == 0 {
		ctx.Loopback(nextKey(ctx.Key()), int64(2))
	}
	if msg == "bad" {
		processors.FromContext(ctx).Store(simHops).Set("bad", int64(1))
		ctx.Fail(errBad)
	}
	if n == maxCount {
		ctx.Delete()
	}
}

func simHop(ctx goka.Context, msg any) {
	store := processors.FromContext(ctx).Store(simHops)
	n, _ := store.Get(ctx.Key()).(int64)
	n++
	store.Set(ctx.Key(), n)
	ctx.Emit(simOut, ctx.Key(), fmt.Sprintf("hop %d", n))
	if n == maxHops {
		store.Delete(ctx.Key())
	}
	if ttl := msg.(int64); ttl > 0 {
		ctx.Loopback(nextKey(ctx.Key()), ttl-1)
	}
}

// simLook tells what a key's count is, and changes nothing.
func simLook(ctx goka.Context, meta any) {
	n, _ := ctx.Value().(int64)
	ctx.Emit(simVisited, ctx.Key(), n)
	ctx.SetValue(n)
}

func nextKey(key string) string {
	n := int(key[1] - '0')
	return fmt.Sprintf("k%d", (n*2+1)%simKeys)
}

// simInput appends records to the inputs while the group works.
type simInput struct {
	b    *simBroker
	left int
	at   time.Time
}

func newInput(w *world) *simInput {
	return &simInput{b: w.broker, left: w.faults.records, at: w.now}
}

func (in *simInput) offer(w *world) {
	if in.left > 0 {
		w.due(in, 6, in.at)
	}
}

// act appends one record.
func (in *simInput) act(w *world) {
	in.left--
	if w.chance(12) {
		in.at = w.now.Add(w.between(0, 100*time.Millisecond))
	}
	key := []byte(fmt.Sprintf("k%d", w.rng.IntN(simKeys)))
	topic, value := simIn, []byte(fmt.Sprintf("v%d", in.left))
	switch n := w.rng.IntN(20); {
	case n < 3:
		topic = simUsers
		if n == 0 {
			value = nil
		}
	case n == 3:
		value = []byte("bad")
	case n == 4:
		value = nil
	}
	l := w.broker.log(topic, simPlan.Hasher.Partition(key, simTasks))
	l.append(simEntry{rec: cloneRecord(key, value, nil, simEpoch+int64(in.left))})
}

// simFold is what the group has to make of its inputs: the naive single pass.
type simFold struct {
	counts, hops map[string]int64
	users        map[string]string
	out          map[string][]string // by key and kind, in order
	dead         map[string]int      // by origin
	fates        [simTasks]record.Counts
}

func fold(b *simBroker) *simFold {
	f := &simFold{
		counts: map[string]int64{}, hops: map[string]int64{}, users: map[string]string{},
		out: map[string][]string{}, dead: map[string]int{},
	}
	for p := range int32(simTasks) {
		for _, e := range b.log(simUsers, p).entries {
			f.users[string(e.rec.Key)] = string(e.rec.Value)
			if e.rec.Value == nil {
				delete(f.users, string(e.rec.Key))
			}
			f.fates[p][record.Processed]++
		}
		for _, e := range b.log(simIn, p).entries {
			f.take(&e.rec)
		}
	}
	return f
}

func (f *simFold) take(r *record.Record) {
	key := string(r.Key)
	switch {
	case r.Value == nil:
		f.fates[r.Partition][record.Filtered]++
		return
	case string(r.Value) == "bad":
		f.fates[r.Partition][record.Dead]++
		f.dead[fmt.Sprintf("%s/%d@%d", r.Topic, r.Partition, r.Offset)]++
		return
	}
	f.fates[r.Partition][record.Processed]++
	n := f.counts[key] + 1
	f.counts[key] = n
	f.out["count "+key] = append(f.out["count "+key], fmt.Sprintf("count %d of %d", n, r.Offset))
	if n%3 == 0 {
		f.hop(nextKey(key), 2)
	}
	if n == maxCount {
		delete(f.counts, key)
	}
}

func (f *simFold) hop(key string, ttl int) {
	p := simPlan.Hasher.Partition([]byte(key), simTasks)
	f.fates[p][record.Processed]++
	n := f.hops[key] + 1
	f.hops[key] = n
	f.out["hop "+key] = append(f.out["hop "+key], fmt.Sprintf("hop %d", n))
	if n == maxHops {
		delete(f.hops, key)
	}
	if ttl > 0 {
		f.hop(nextKey(key), ttl-1)
	}
}

// outKind is the part of an output's value that orders it: counts among counts.
func outKind(value string) string { return strings.Fields(value)[0] + " " }
