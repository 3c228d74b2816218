package engine

import (
	"context"
	"sync"
	"time"

	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/topology"
)

// lot is restores that were asked for at about one time. What they have to know of
// the logs is asked for at once: brokers answer for whole topics, so asking for a
// thousand tasks one by one would cost the square of that.
type lot struct {
	tasks []int32 // guarded by group.mu; no more are taken in once the brokers are asked

	mu    sync.Mutex // held while they are asked
	asked bool
	known *known // nil where they have not answered
}

// known is what the brokers have said, later than any restore of the lot was asked
// for.
type known struct {
	at        time.Time
	ends      map[record.Partition]record.Ends
	committed map[record.Partition]int64
}

const (
	lotPatience = 3 * time.Second  // with the brokers; who gets no answer asks for itself
	knownFor    = 10 * time.Second // a restore whose turn comes later asks anew
)

// joinLot adds a restore to the lot that has not been asked for yet. Call it with g.mu
// held.
func (g *group) joinLot(p int32) *lot {
	if g.lot == nil {
		g.lot = new(lot)
	}
	g.lot.tasks = append(g.lot.tasks, p)
	return g.lot
}

// knownOf returns what is known of the logs of a lot, nil where each restore has to ask
// for itself.
func (g *group) knownOf(ctx context.Context, l *lot) *known {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.asked {
		l.asked = true
		g.mu.Lock()
		if g.lot == l {
			g.lot = nil
		}
		tasks := l.tasks
		g.mu.Unlock()
		if len(tasks) > 1 {
			l.known = g.ask(ctx, tasks)
		}
	}
	if l.known == nil || g.engine.o.Clock().Sub(l.known.at) > knownFor {
		return nil
	}
	return l.known
}

// ask asks the brokers for the ends of all logs of the tasks, and for the committed
// offsets of their inputs.
func (g *group) ask(ctx context.Context, tasks []int32) *known {
	ctx, cancel := context.WithTimeout(ctx, lotPatience)
	defer cancel()
	k := &known{at: g.engine.o.Clock()}
	topics := g.logTopics()
	parts := make([]record.Partition, 0, len(topics)*len(tasks))
	for _, topic := range topics {
		for _, p := range tasks {
			parts = append(parts, record.Partition{Topic: topic, Partition: p})
		}
	}
	var err error
	if k.ends, err = g.engine.o.Cluster.EndsOf(ctx, parts...); err != nil {
		return nil // of one perhaps; its own restore will say so
	}
	if k.committed, err = g.engine.o.Cluster.Committed(ctx, g.plan.Group, g.inputTopics()...); err != nil {
		return nil
	}
	return k
}

// logTopics are the topics that a restore asks the ends of. Those of inputs may begin
// in an archive, which is the source's to know.
func (g *group) logTopics() []string {
	out := []string{g.plan.StateTopic}
	if g.plan.Table != nil {
		out = append(out, g.plan.Table.Topic)
	}
	for _, in := range g.plan.Inputs {
		if in.Kind == topology.JoinInput || g.engine.o.Archive == nil {
			out = append(out, in.Topic)
		}
	}
	return out
}

// knownLogs are the cluster's logs, of which some ends are known.
type knownLogs struct {
	*kafka.Cluster
	known *known
}

func (l knownLogs) Ends(ctx context.Context, p record.Partition) (record.Ends, error) {
	if e, ok := l.known.ends[p]; ok {
		return e, nil
	}
	return l.Cluster.Ends(ctx, p)
}
