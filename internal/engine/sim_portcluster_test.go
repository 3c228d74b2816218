package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/internal/kafka/balance"
	"github.com/seed-73111be4/kappa/internal/testenv"
	"github.com/seed-73111be4/kappa/record"
)

// clusterPort is a cluster behind the real client. Each producer has a wire of its
// own.
type clusterPort struct {
	t         *testing.T
	ctx       context.Context
	env       *testenv.Cluster
	c         *kafka.Cluster
	name      string
	timeout   time.Duration // of transactions
	producers map[string]*portProducer
	members   []*kafka.Member
	fences    chan kafka.Fence
	fence     kafka.Fence
	old       kafka.Fence
	offset    int64 // committed last
}

type portProducer struct {
	*kafka.Producer
	wire *wire
	deaf bool // no answer will come
}

func checkCluster(t *testing.T, env *testenv.Cluster, table portTable) {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	t.Cleanup(cancel)
	c, err := kafka.Open(ctx, kafka.Config{Brokers: env.Brokers()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	table.check(t, 8, func(t *testing.T, script string) port {
		return newClusterPort(t, ctx, env, c, script)
	})
}

func newClusterPort(t *testing.T, ctx context.Context, env *testenv.Cluster, c *kafka.Cluster, script string) *clusterPort {
	p := &clusterPort{
		t: t, ctx: ctx, env: env, c: c, name: testenv.Name(t), timeout: 30 * time.Second,
		producers: map[string]*portProducer{}, fences: make(chan kafka.Fence, 100),
	}
	if strings.Contains(script, " expire ") {
		p.timeout = 3 * time.Second
	}
	if _, err := c.CreateTopics(ctx, p.topic("in"), p.topic("out")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, m := range p.members {
			m.Kill()
		}
	})
	return p
}

func (p *clusterPort) topic(name string) kafka.TopicSpec {
	return kafka.TopicSpec{Name: p.name + "-" + name, Partitions: 1, Config: map[string]string{"retention.ms": "-1"}}
}

func (p *clusterPort) out() record.Partition { return record.Partition{Topic: p.name + "-out"} }

// producer makes one when it is first named.
func (p *clusterPort) producer(name string) *portProducer {
	if q := p.producers[name]; q != nil {
		return q
	}
	q := &portProducer{wire: newWire()}
	c, err := kafka.Open(p.ctx, kafka.Config{Brokers: p.env.Brokers(), Dial: q.wire.dial})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(c.Close)
	id := map[string]string{"a": "x", "b": "x", "c": "y"}[name]
	if q.Producer, err = c.NewProducer(kafka.ProducerConfig{TransactionalID: p.name + "." + id, Timeout: p.timeout}); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(q.Close)
	p.producers[name] = q
	return q
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
	p.fence = p.assigned()
}

func (p *clusterPort) assigned() kafka.Fence {
	select {
	case f := <-p.fences:
		return f
	case <-p.ctx.Done():
		p.t.Fatal("no assignment")
		return kafka.Fence{}
	}
}

// happen makes an event.
func (p *clusterPort) happen(event string) {
	switch event {
	case "rejoin": // another member joins
		p.old = p.joined()
		p.join("j", stranger{})
	case "leave":
		p.old = p.joined()
		p.members[0].Kill()
		p.must(p.c.Leave(p.ctx, p.name, "i"))
	case "return":
		p.join("i", p)
	case "restart":
		p.old = p.joined()
		p.members[0].Kill()
		for p.join("i", p); p.fence.Generation == p.old.Generation; { // it makes the group look at it
			p.fence = p.assigned()
		}
	case "expire":
		p.settle()
	case "trim":
		p.must(p.c.DeleteRecords(p.ctx, map[record.Partition]int64{p.out(): p.settle().HighWatermark}))
	}
}

func (p *clusterPort) must(err error) {
	if err != nil {
		p.t.Fatal(err)
	}
}

// stranger is a member that nobody listens to.
type stranger struct{}

func (stranger) Assigned(kafka.Fence, []kafka.TaskTopics)    {}
func (stranger) Revoked(context.Context, []kafka.TaskTopics) {}
func (stranger) Lost([]kafka.TaskTopics)                     {}
func (stranger) Follow([]int32)                              {}
func (stranger) Failed(error)                                {}

func (p *clusterPort) do(name, verb, arg string) kafka.Result {
	q := p.producer(name)
	ctx := p.ctx
	if q.deaf {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, deafPatience)
		defer cancel()
	}
	switch verb {
	case "produce":
		q.Produce(&kafka.Out{Topic: p.out().Topic, Key: []byte("k"), Value: []byte("v")})
	case "init":
		return q.Init(ctx)
	case "flush":
		_, r := q.Flush(ctx)
		return r
	case "offsets":
		p.offset++
		return q.CommitOffsets(ctx, spoil(p.joined(), p.old, arg), []record.Position{{Topic: p.name + "-in", Offset: p.offset, LeaderEpoch: -1}})
	case "rebuild":
		p.must(q.Rebuild())
	case "commit", "abort":
		return q.End(ctx, verb == "commit")
	case "heal":
		q.deaf = false
		q.wire.heal()
	case "cut":
		q.wire.cut()
	case "arrives":
		p.must(q.wire.deliver())
	default:
		q.deaf = verb == faultMute || verb == faultAway || verb == faultHold
		q.wire.fault(verb, arg)
	}
	return kafka.Result{}
}

// deafPatience is how long a call goes on where no answer will come. Calls that the
// fault is not about take less.
const deafPatience = 2 * time.Second

func (p *clusterPort) ask(what string) string {
	switch what {
	case "read":
		return fmt.Sprint(p.read(p.settle()))
	case "peek":
		return fmt.Sprint(p.read(p.ends()))
	case "committed":
		at, err := p.c.Committed(p.ctx, p.name, p.name+"-in")
		p.must(err)
		return fmt.Sprint(at[record.Partition{Topic: p.name + "-in"}])
	case "replay":
		return p.reach(0)
	}
	return p.reach(1000)
}

// reach says whether an offset can be read from.
func (p *clusterPort) reach(from int64) string {
	log := p.c.Open(p.out(), from)
	defer log.Close()
	_, err := log.Next(p.ctx)
	if errors.Is(err, record.ErrOffsetOutOfRange) {
		return "gone"
	}
	p.must(err)
	return "ok"
}

func (p *clusterPort) ends() record.Ends {
	ends, err := p.c.Ends(p.ctx, p.out())
	p.must(err)
	return ends
}

// settle waits until no transaction is open. Whoever reads before that, with the
// markers on their way, sees the beginning of what there will be.
func (p *clusterPort) settle() record.Ends {
	for {
		early := p.ends()
		if early.LastStable == early.HighWatermark {
			return early
		}
		n := p.read(early)
		if later := p.ends(); later.LastStable == early.LastStable && p.read(later) != n {
			p.t.Errorf("%d records below the last stable offset %d, and then others", n, early.LastStable)
		}
		if p.ctx.Err() != nil {
			p.t.Fatalf("a transaction stays open: %+v", early)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// read counts what is committed below the last stable offset.
func (p *clusterPort) read(ends record.Ends) int {
	n := 0
	log := p.c.Open(p.out(), ends.Start)
	defer log.Close()
	for at := ends.Start; at < ends.LastStable; {
		b, err := log.Next(p.ctx)
		p.must(err)
		for i := range b.Records {
			if b.Records[i].Offset < ends.LastStable {
				n++
			}
		}
		at = b.Next
	}
	return n
}
