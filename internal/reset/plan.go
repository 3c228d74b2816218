package reset

import (
	"context"
	"fmt"
	"time"

	"github.com/seed-73111be4/kappa/internal/control"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/record"
)

// Rate is the assumed number of records that a group replays in a second, for the time
// that a plan tells.
const Rate = 100_000

// Plan is a reset that can be made. It is read-only but for Apply.
type Plan struct {
	Group      string
	Moves      []Move // by topic and partition
	Generation uint64 // of the table and state after the reset
	KeepState  bool
	Mute       bool
	AtOnce     bool
	Table      string // topic of the table after the reset, "" where the group has none
	OldTable   string // that readers see before it, "" where there is none
	Outputs    []string
	Old        []string // topics that are removed once nobody needs them

	// Members are those that the group has: it cannot be reset while it has any.
	Members []kafka.GroupMember

	cluster *kafka.Cluster
	o       Options
	g       *group
	next    *control.Reset
}

// Move is what a reset does with one partition of an input.
type Move struct {
	Partition record.Partition
	From      int64 // the group's position before, -1 where it had none
	To        int64 // the position after
	// Archived offsets [ArchiveFrom, ArchiveTo) are read from the archive; where both are
	// equal, all is in Kafka.
	ArchiveFrom, ArchiveTo int64
	KafkaFrom              int64 // offset from which on Kafka is read
	End                    int64 // of the log, as of the plan
	Records                int64 // about how many there are to read until End
	Bytes                  int64 // about how many, as they are stored; -1 where unknown
}

// Records returns about how many records there are to read, of all partitions.
func (p *Plan) Records() (n int64) {
	for i := range p.Moves {
		n += p.Moves[i].Records
	}
	return n
}

// Bytes returns about how many bytes there are to read; known is false where of some
// partition it is not known.
func (p *Plan) Bytes() (n int64, known bool) {
	known = true
	for i := range p.Moves {
		if b := p.Moves[i].Bytes; b < 0 {
			known = false
		} else {
			n += b
		}
	}
	return n, known
}

// Expected returns how long the replay takes at Rate.
func (p *Plan) Expected() time.Duration {
	return time.Duration(float64(p.Records()) / Rate * float64(time.Second)).Round(time.Second)
}

// Make finds out what a reset would do. Nothing is changed.
func Make(ctx context.Context, c *kafka.Cluster, o Options) (*Plan, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	p, err := plan(ctx, c, o)
	if err != nil {
		return nil, fmt.Errorf("reset group %s: %w", o.Group, err)
	}
	return p, nil
}

func plan(ctx context.Context, c *kafka.Cluster, o Options) (*Plan, error) {
	g, err := look(ctx, c, &o)
	if err != nil {
		return nil, err
	}
	all, err := pasts(ctx, c, o.Archive, g.streams)
	if err != nil {
		return nil, err
	}
	to, err := g.targets(ctx, c, &o, all)
	if err != nil {
		return nil, err
	}
	p := &Plan{Group: o.Group, KeepState: o.KeepState, Mute: o.Mute, AtOnce: o.AtOnce, Outputs: g.shape.Outputs, cluster: c, o: o, g: g}
	if p.Members, err = c.Members(ctx, o.Group); err != nil {
		return nil, err
	}
	sizes, err := c.LogSizes(ctx, g.streamTopics()...)
	if err != nil {
		sizes = nil // who may reset a group need not be allowed to ask
	}
	for _, part := range g.streams {
		p.Moves = append(p.Moves, g.move(all[part], to[part], sizes))
	}
	p.aim(to, all)
	return p, nil
}

func (g *group) move(h *past, to int64, sizes map[record.Partition]int64) Move {
	m := Move{Partition: h.p, From: -1, To: to, End: h.end()}
	if at, ok := g.committed[h.p]; ok {
		m.From = at
	}
	m.ArchiveFrom, m.ArchiveTo = h.archived(to)
	m.KafkaFrom = m.ArchiveTo
	m.Records, m.Bytes = h.volume(m.ArchiveFrom, m.ArchiveTo)
	live, there := max(0, m.End-m.KafkaFrom), h.kafka.HighWatermark-h.kafka.Start
	m.Records += live
	switch size, ok := sizes[h.p]; {
	case live == 0:
	case !ok:
		m.Bytes = -1
	default:
		m.Bytes += int64(float64(size) * float64(live) / float64(max(1, there)))
	}
	return m
}

// aim decides on the record of the reset.
func (p *Plan) aim(to map[record.Partition]int64, all map[record.Partition]*past) {
	g := p.g
	present, largest := g.generation()
	n := &control.Reset{Group: p.Group, Number: 1, Generation: present, Mute: p.Mute, To: map[string][]int64{}, Until: map[string][]int64{}}
	if g.reset != nil {
		n.Number = g.reset.Number + 1
	}
	if !p.KeepState {
		n.Generation = largest + 1
	}
	n.Table, n.State = control.Topics(p.Group, n.Generation)
	if g.shape.Table == "" {
		n.Table = ""
	}
	for i := range p.Moves {
		part := p.Moves[i].Partition
		goal := max(p.Moves[i].From, g.reset.Goal(part), 0)
		n.To[part.Topic] = append(n.To[part.Topic], to[part])
		n.Until[part.Topic] = append(n.Until[part.Topic], min(goal, all[part].end()))
	}
	n.Old = g.others(n.Table, n.State)
	p.next, p.Generation, p.Table, p.Old = n, n.Generation, n.Table, n.Old
	p.OldTable = g.readers(n.Table)
}

// readers returns the table that readers see before the reset: what the alias says, and
// where there is none, the first generation's, if there is one.
func (g *group) readers(table string) string {
	if table == "" {
		return ""
	}
	if a, ok := g.control.Aliases[g.shape.Group]; ok {
		return a.Table
	}
	first, _ := control.Topics(g.shape.Group, 1)
	for _, t := range g.topics {
		if t == first {
			return first
		}
	}
	return ""
}
