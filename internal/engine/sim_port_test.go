package engine

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/internal/kafka/balance"
	"github.com/seed-73111be4/kappa/internal/testenv"
	"github.com/seed-73111be4/kappa/record"
)

// portScripts are what producers do and what it comes to, on the model of the broker
// as on real ones. a and b have one transactional id, c has another. "old" offsets
// carry the fence from before the last rejoin, "stranger" ones an unknown member's,
// "impostor" ones another member's under our instance. read counts what is
// committed. A step is followed by its outcome.
var portScripts = map[string]string{
	"a commit":                            "a init:ok a produce a flush:ok a offsets:ok a commit:ok read:1",
	"an abort":                            "a init:ok a produce a flush:ok a offsets:ok a abort:ok read:0",
	"an abort before the flush":           "a init:ok a produce a abort:ok read:0",
	"an abort before the offsets":         "a init:ok a produce a flush:ok a abort:ok read:0",
	"a commit without offsets":            "a init:ok a produce a flush:ok a commit:ok read:1",
	"a commit of nothing":                 "a init:ok a commit:ok read:0",
	"an abort of nothing":                 "a init:ok a abort:ok read:0",
	"a flush of nothing":                  "a init:ok a flush:ok read:0",
	"a commit asked for twice":            "a init:ok a produce a flush:ok a commit:ok a commit:ok read:1",
	"an abort asked for twice":            "a init:ok a produce a flush:ok a abort:ok a abort:ok read:0",
	"offsets without records":             "a init:ok a offsets:aborted a abort:ok read:0",
	"offsets twice":                       "a init:ok a produce a flush:ok a offsets:ok a offsets:ok a commit:ok read:1",
	"two commits":                         "a init:ok a produce a flush:ok a offsets:ok a commit:ok a produce a flush:ok a offsets:ok a commit:ok read:2",
	"a commit after an abort":             "a init:ok a produce a flush:ok a abort:ok a produce a flush:ok a offsets:ok a commit:ok read:1",
	"an abort after a commit":             "a init:ok a produce a flush:ok a commit:ok a produce a flush:ok a abort:ok read:1",
	"an older generation":                 "a init:ok a produce a flush:ok rejoin a offsets old:stale a abort:ok read:0",
	"an older generation, then the new":   "a init:ok a produce a flush:ok rejoin a offsets old:stale a abort:ok a produce a flush:ok a offsets:ok a commit:ok read:1",
	"a rebalance before the offsets":      "a init:ok a produce a flush:ok rejoin a offsets:ok a commit:ok read:1",
	"a rebalance after the offsets":       "a init:ok a produce a flush:ok a offsets:ok rejoin a commit:ok read:1",
	"an unknown member":                   "a init:ok a produce a flush:ok a offsets stranger:stale a abort:ok read:0",
	"another member under the instance":   "a init:ok a produce a flush:ok a offsets impostor:fenced read:?",
	"two ids":                             "a init:ok c init:ok a produce c produce a flush:ok c flush:ok a commit:ok c abort:ok read:1",
	"a newer producer before the records": "a init:ok b init:ok a produce a flush:fenced b produce b flush:ok b commit:ok read:1",
	"a newer producer before the offsets": "a init:ok a produce a flush:ok b init:ok a offsets:fenced read:0",
	"a newer producer before the commit":  "a init:ok a produce a flush:ok a offsets:ok b init:ok a commit:fenced read:0",
	"a newer producer before the abort":   "a init:ok a produce a flush:ok b init:ok a abort:fenced read:0",
	"a newer producer after the commit":   "a init:ok a produce a flush:ok a commit:ok b init:ok b produce b flush:ok b commit:ok read:2",
	"a producer taken back":               "a init:ok b init:ok a produce a flush:fenced a rebuild a init:ok a produce a flush:ok a commit:ok b produce b flush:fenced read:1",
	"a rebuild over an open transaction":  "a init:ok a produce a flush:ok a offsets:ok a rebuild a init:ok read:0",
	"a rebuild after a commit":            "a init:ok a produce a flush:ok a commit:ok a rebuild a init:ok a produce a flush:ok a commit:ok read:2",
	"a rebuild before the flush":          "a init:ok a produce a rebuild a init:ok a produce a flush:ok a commit:ok read:1",
	"many records":                        "a init:ok a produce a produce a produce a flush:ok a offsets:ok a commit:ok read:3",
	"a commit after refused offsets":      "a init:ok a produce a flush:ok a offsets stranger:stale a commit:ok read:1",
	"offsets after refused ones":          "a init:ok a produce a flush:ok a offsets stranger:stale a offsets:ok a commit:ok read:1",
	"offsets after the commit":            "a init:ok a produce a flush:ok a commit:ok a offsets:aborted a abort:ok read:1",
	"a commit after aborted offsets":      "a init:ok a produce a flush:ok a offsets:ok a abort:ok a produce a flush:ok a commit:ok read:1",
	"another id beside an open one":       "a init:ok a produce a flush:ok c init:ok a commit:ok read:1",
	"an abort beside a commit":            "a init:ok c init:ok a produce a flush:ok c produce c flush:ok a abort:ok c commit:ok read:1",
	"taken back before anything is sent":  "a init:ok b init:ok a rebuild a init:ok b produce b flush:fenced a produce a flush:ok a commit:ok read:1",
	"a rebuild after an abort":            "a init:ok a produce a flush:ok a abort:ok a rebuild a init:ok a produce a flush:ok a commit:ok read:1",
	"a rebuild after offsets are refused": "a init:ok a produce a flush:ok a offsets stranger:stale a rebuild a init:ok a produce a flush:ok a offsets:ok a commit:ok read:1",
	"three generations":                   "a init:ok a produce a flush:ok a offsets:ok a commit:ok rejoin a produce a flush:ok a offsets old:stale a abort:ok a produce a flush:ok a offsets:ok a commit:ok read:2",
	"an init twice":                       "a init:ok a rebuild a init:ok a rebuild a init:ok a produce a flush:ok a commit:ok read:1",
}

// kfakeDiffers are the scripts in which kfake takes the end of a fenced transaction
// for the repetition of the fence's own abort.
var kfakeDiffers = map[string]string{
	"a newer producer before the commit": "a init:ok a produce a flush:ok a offsets:ok b init:ok a commit:unknown read:0",
	"a newer producer before the abort":  "a init:ok a produce a flush:ok b init:ok a abort:ok read:0",
}

// port is where a script is played.
type port interface {
	do(name, verb, arg string) kafka.Result // of a producer
	rejoin()
	read() int
}

// play returns the script with the outcomes that it has come to.
func play(p port, script string) string {
	words := strings.Fields(script)
	var out []string
	for len(words) > 0 {
		verb, _, _ := strings.Cut(words[0], ":")
		switch verb {
		case "rejoin":
			p.rejoin()
			out = append(out, verb)
			words = words[1:]
			continue
		case "read":
			answer := "read:?"
			if words[0] != answer {
				answer = fmt.Sprintf("read:%d", p.read())
			}
			out = append(out, answer)
			words = words[1:]
			continue
		}
		step, n := words[1], 2
		arg := ""
		if !strings.Contains(step, ":") && step == "offsets" {
			arg, _, _ = strings.Cut(words[2], ":")
			n = 3
		}
		step, _, _ = strings.Cut(step, ":")
		res := p.do(verb, step, arg)
		switch text := strings.TrimSuffix(verb+" "+step+" "+arg, " "); step {
		case "produce", "rebuild":
			out = append(out, text)
		default:
			out = append(out, text+":"+res.Outcome.String())
		}
		words = words[n:]
	}
	return strings.Join(out, " ")
}

func TestModelOfTheBrokerAnswersAsBrokersDo(t *testing.T) {
	differs := map[string]string{}
	check := func(t *testing.T, make func(t *testing.T) port) {
		for name, script := range portScripts {
			if other, ok := differs[name]; ok {
				script = other
			}
			t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
				if got := play(make(t), script); got != script {
					t.Errorf("\n got %s\nwant %s", got, script)
				}
			})
		}
	}
	for _, two := range []bool{true, false} {
		t.Run(fmt.Sprintf("model,transactions2=%v", two), func(t *testing.T) {
			check(t, func(*testing.T) port { return newModelPort(two) })
		})
	}
	differs = kfakeDiffers
	t.Run("kfake", func(t *testing.T) { checkCluster(t, testenv.Fake(t), check) })
	differs = nil
	if testing.Short() {
		return
	}
	for kind, version := range map[testenv.Kind]int{testenv.KafkaTV2: 2, testenv.KafkaTV1: 1} {
		t.Run(string(kind), func(t *testing.T) {
			checkCluster(t, testenv.Kafka(t, testenv.Options{TransactionVersion: version}), check)
		})
	}
}

// modelPort is the model, with nothing that goes wrong.
type modelPort struct {
	w         *world
	producers map[string]*simRunner
	fence     kafka.Fence
	old       kafka.Fence
}

func newModelPort(transactions2 bool) *modelPort {
	w := newWorld(1, mutation{}, false)
	w.chaos, w.procs = false, nil
	w.faults = simFaults{transactions2: transactions2, markers: 1, requests: 1, pace: time.Millisecond, txnTimeout: time.Hour}
	m := &modelPort{w: w, producers: map[string]*simRunner{}}
	for name, id := range map[string]string{"a": "x", "b": "x", "c": "y"} {
		r := &simRunner{w: w, name: name, txnID: id}
		r.client = newClient(r)
		m.producers[name] = r
	}
	m.rejoin()
	return m
}

// rejoin makes a new generation of the one member.
func (m *modelPort) rejoin() {
	g := m.w.broker.group
	m.old = m.fence
	g.join(m.fence.Member, "i", fmt.Append(nil, g.generation), func(r groupReply) {
		m.fence = kafka.Fence{Group: "g", Member: r.id, Generation: r.generation, Instance: "i"}
		g.sync(r.id, "i", r.generation, map[string][]byte{}, func(groupReply) {})
	})
}

func (m *modelPort) do(name, verb, arg string) kafka.Result {
	r := m.producers[name]
	switch verb {
	case "produce":
		r.client.produce(&kafka.Out{Topic: simOut, Key: []byte("k"), Value: []byte("v")})
		return kafka.Result{}
	case "init":
		return m.outcome(r, doInit{})
	case "flush":
		return m.outcome(r, doFlush{})
	case "offsets":
		return m.outcome(r, doOffsets{spoil(m.fence, m.old, arg), []record.Position{{Topic: simIn, Offset: 1}}})
	case "rebuild":
		return m.outcome(r, doRebuild{})
	}
	return m.outcome(r, doEnd{commit: verb == "commit"})
}

// outcome carries an effect out and lets the broker work until it is answered.
func (m *modelPort) outcome(r *simRunner, e effect) kafka.Result {
	r.op = &simOp{effect: e, begun: true}
	r.begin(r.op)
	for r.op.answer == nil && !(r.flushing() && r.client.flushed()) {
		m.work()
	}
	res := kafka.Result{}
	switch a := r.op.answer.(type) {
	case nil:
		res = r.client.failed
	case evInit:
		res = a.Result
	case evOffsets:
		res = a.Result
	case evEnded:
		res = a.Result
	}
	r.op = nil
	return res
}

// work lets the broker, or a producer that sends, take a step.
func (m *modelPort) work() bool {
	w := m.w
	w.ready, w.weight = w.ready[:0], 0
	for _, id := range w.broker.ids {
		if id.state == txnEnding {
			w.offer(id, 1)
		}
	}
	for _, q := range w.broker.requests {
		w.offer(q, 1)
	}
	for _, name := range []string{"a", "b", "c"} {
		m.producers[name].client.offer(w, true)
	}
	if len(w.ready) == 0 {
		return false
	}
	w.ready[w.rng.IntN(len(w.ready))].actor.act(w)
	return true
}

func (m *modelPort) read() int {
	for m.work() {
	}
	records, _ := m.w.broker.log(simOut, 0).read(0, 1000)
	return len(records)
}

// spoil returns the fence that a script asks for.
func spoil(f, old kafka.Fence, how string) kafka.Fence {
	switch how {
	case "old":
		return old
	case "stranger":
		f.Member, f.Instance = "nobody", ""
	case "impostor":
		f.Member = "somebody"
	}
	return f
}

// clusterPort is a cluster behind the real client.
type clusterPort struct {
	t         *testing.T
	ctx       context.Context
	c         *kafka.Cluster
	name      string
	producers map[string]*kafka.Producer
	members   []*kafka.Member
	fences    chan kafka.Fence
	fence     kafka.Fence
	old       kafka.Fence
}

func checkCluster(t *testing.T, env *testenv.Cluster, check func(*testing.T, func(*testing.T) port)) {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	t.Cleanup(cancel)
	c, err := kafka.Open(ctx, kafka.Config{Brokers: env.Brokers()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	check(t, func(t *testing.T) port { return newClusterPort(t, ctx, c) })
}

func newClusterPort(t *testing.T, ctx context.Context, c *kafka.Cluster) *clusterPort {
	p := &clusterPort{t: t, ctx: ctx, c: c, name: testenv.Name(t), producers: map[string]*kafka.Producer{}, fences: make(chan kafka.Fence, 100)}
	if _, err := c.CreateTopics(ctx,
		kafka.TopicSpec{Name: p.name + "-in", Partitions: 1}, kafka.TopicSpec{Name: p.name + "-out", Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	for name, id := range map[string]string{"a": "x", "b": "x", "c": "y"} {
		q, err := c.NewProducer(kafka.ProducerConfig{TransactionalID: p.name + "." + id, Timeout: 30 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(q.Close)
		p.producers[name] = q
	}
	t.Cleanup(func() {
		for _, m := range p.members {
			m.Kill()
		}
	})
	return p
}

// Assigned and the methods after it make it the listener of its member.
func (p *clusterPort) Assigned(f kafka.Fence, _ []kafka.TaskTopics) { p.fences <- f }
func (p *clusterPort) Revoked(context.Context, []kafka.TaskTopics)  {}
func (p *clusterPort) Lost([]kafka.TaskTopics)                      {}
func (p *clusterPort) Follow([]int32)                               {}
func (p *clusterPort) Failed(err error)                             { p.t.Errorf("member: %v", err) }

// joined makes sure that there is a member.
func (p *clusterPort) joined() kafka.Fence {
	if p.members == nil {
		p.join("i", p)
	}
	return p.fence
}

// join adds a member and waits for what the first one hears of it.
func (p *clusterPort) join(instance string, l kafka.Listener) {
	in := p.name + "-in"
	m, err := p.c.Join(p.ctx, kafka.MemberConfig{
		Group: p.name, Instance: instance, Static: true, Topics: []string{in},
		Shape:          balance.Shape{Fingerprint: "f", Hasher: "fnv1a", Inputs: []string{in}},
		SessionTimeout: 30 * time.Second, HeartbeatInterval: 100 * time.Millisecond,
	}, l)
	if err != nil {
		p.t.Fatal(err)
	}
	p.members = append(p.members, m)
	select {
	case p.fence = <-p.fences:
	case <-p.ctx.Done():
		p.t.Fatal("no assignment")
	}
}

// rejoin makes a new generation: another member joins.
func (p *clusterPort) rejoin() {
	p.old = p.joined()
	p.join("j", stranger{})
}

// stranger is a member that nobody listens to.
type stranger struct{}

func (stranger) Assigned(kafka.Fence, []kafka.TaskTopics)    {}
func (stranger) Revoked(context.Context, []kafka.TaskTopics) {}
func (stranger) Lost([]kafka.TaskTopics)                     {}
func (stranger) Follow([]int32)                              {}
func (stranger) Failed(error)                                {}

func (p *clusterPort) do(name, verb, arg string) kafka.Result {
	q := p.producers[name]
	switch verb {
	case "produce":
		q.Produce(&kafka.Out{Topic: p.name + "-out", Key: []byte("k"), Value: []byte("v")})
		return kafka.Result{}
	case "init":
		return q.Init(p.ctx)
	case "flush":
		_, r := q.Flush(p.ctx)
		return r
	case "offsets":
		return q.CommitOffsets(p.ctx, spoil(p.joined(), p.old, arg), []record.Position{{Topic: p.name + "-in", Offset: 1, LeaderEpoch: -1}})
	case "rebuild":
		if err := q.Rebuild(); err != nil {
			p.t.Fatal(err)
		}
		return kafka.Result{}
	}
	return q.End(p.ctx, verb == "commit")
}

// read waits until no transaction is open and counts what is committed.
func (p *clusterPort) read() int {
	part := record.Partition{Topic: p.name + "-out"}
	for {
		ends, err := p.c.Ends(p.ctx, part)
		if err != nil {
			p.t.Fatal(err)
		}
		if ends.LastStable < ends.HighWatermark {
			continue
		}
		n := 0
		log := p.c.Open(part, 0)
		defer log.Close()
		for at := int64(0); at < ends.HighWatermark; {
			b, err := log.Next(p.ctx)
			if err != nil {
				p.t.Fatal(err)
			}
			n, at = n+len(b.Records), b.Next
		}
		return n
	}
}
