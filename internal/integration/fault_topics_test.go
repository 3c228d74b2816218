package integration

import (
	"testing"

	"github.com/lovoo/goka"
	gcodec "github.com/lovoo/goka/codec"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-73111be4/kappa/internal/engine"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/topology"
)

func TestTopicsThatDoNotFitAreNamedBeforeTheFirstRecord(t *testing.T) {
	on(t, func(r *rig) {
		in, group := r.topic("in", 4), r.name("g")
		narrow, wide := r.topic("narrow", 2), r.topic("wide", 6)
		r.emit(numbers(in, 10, 3)...)
		o := r.fast("")
		for name, c := range map[string]struct {
			def  *topology.Def
			says []string
		}{
			"missing input": {
				unread(r.t, group, r.name("nowhere")),
				[]string{"group " + group, "topic " + r.name("nowhere") + ": the input does not exist", "kafka-topics.sh --create --topic " + r.name("nowhere")},
			},
			"missing output": {
				unread(r.t, group, in, topology.Output(goka.Stream(r.name("nowhere")), new(gcodec.String))),
				[]string{"topic " + r.name("nowhere") + ": the output does not exist", "--create"},
			},
			"missing dead-letter topic": {
				unread(r.t, group, in, topology.DeadLetter(goka.Stream(r.name("nowhere")))),
				[]string{"topic " + r.name("nowhere") + ": the dead-letter topic does not exist", "--create"},
			},
			"missing joined table": {
				unread(r.t, group, in, topology.Join(goka.Table(r.name("nowhere")), new(gcodec.String))),
				[]string{"topic " + r.name("nowhere") + ": the joined table does not exist", "--create", "--partitions 4"},
			},
			"inputs of several widths": {
				topology.Group(goka.Group(group),
					topology.Inputs(goka.Streams{goka.Stream(in), goka.Stream(narrow), goka.Stream(wide)}, new(gcodec.String), func(goka.Context, any) { r.t.Error("a record was processed") }),
					topology.Persist(new(gcodec.Int64))),
				[]string{"topic " + in + ": the input has 4 partitions", "topic " + narrow + ": the input has 2 partitions", "the group's other topics have 6, so equal keys do not meet", "copy it to a topic of 6 partitions"},
			},
			"a narrow joined table that is not compacted": {
				unread(r.t, group, in, topology.Join(goka.Table(narrow), new(gcodec.String))),
				[]string{narrow + ": the joined table has", "has cleanup.policy=delete", "--entity-name " + narrow + " --add-config cleanup.policy=compact"},
			},
		} {
			r.refused(o, c.def, c.says...)
			if r.t.Failed() {
				r.t.Fatalf("that was: %s", name)
			}
		}
		r.untouched(group)
	})
}

// untouched says that a group was refused before it wrote or made anything.
func (r *rig) untouched(group string) {
	r.t.Helper()
	topics, err := r.k.Topics(r.ctx, group+"-table", group+"-state")
	if err != nil || len(topics) > 0 {
		r.t.Errorf("the refused group has made topics: %v, %v", topics, err)
	}
}

func TestTheGroupsOwnTopicsAreChecked(t *testing.T) {
	on(t, func(r *rig) {
		in := r.topic("in", 4)
		r.emit(numbers(in, 10, 3)...)
		loop := topology.Loop(new(gcodec.String), func(goka.Context, any) {})
		a := r.name("a")
		r.create(kafka.TopicSpec{Name: a + "-table", Partitions: 4, Config: map[string]string{"cleanup.policy": "delete"}})
		r.refused(r.fast(""), unread(r.t, a, in),
			"topic "+a+"-table: the group table has cleanup.policy=delete: it would lose the values of keys that do not change",
			"--entity-name "+a+"-table --add-config cleanup.policy=compact")
		b := r.name("b")
		r.create(kafka.TopicSpec{Name: b + "-loop", Partitions: 4, Config: map[string]string{"retention.ms": "604800000"}})
		r.refused(r.fast(""), unread(r.t, b, in, loop),
			"topic "+b+"-loop: the loop has cleanup.policy=delete, retention.ms=604800000: records could be deleted unread",
			"--add-config cleanup.policy=delete,retention.ms=-1")
		c := r.name("c")
		r.create(kafka.TableSpec(c+"-table", 8), kafka.InternalSpec(c+"-loop", 2))
		r.refused(r.fast(""), unread(r.t, c, in, loop),
			"topic "+c+"-table: the group table has 8 partitions but the inputs have 4",
			"topic "+c+"-loop: the loop has 2 partitions but the inputs have 4")
	})
}

// An input that was deleted and made anew has nothing to do with the positions
// that were committed of the old one.
func TestARecreatedInputIsAnError(t *testing.T) {
	on(t, func(r *rig) {
		group, spec := r.name("g"), kafka.TopicSpec{Name: r.name("in"), Partitions: 2}
		r.create(spec)
		r.emit(numbers(spec.Name, 100, 10)...)
		o := r.fast(r.t.TempDir())
		e := r.start(o, counting(group, spec.Name))
		r.processed(100, group, e)
		r.recreate(spec)
		r.emit(numbers(spec.Name, 200, 10)...)
		wraps(r.t, r.failed(e, "group "+group, "input "+spec.Name+"/", "topic"), record.ErrRecreated)
		want := countsOf(100, 10)
		r.equal("table", r.table(group+"-table"), want)

		e = r.start(o, counting(group, spec.Name))
		wraps(r.t, r.failed(e, "task "+group+"/", spec.Name+"/", "was read to offset", "another topic id",
			"delete the group's table and state topics to start anew, or restore the topic"), record.ErrRecreated)
		r.equal("table", r.table(group+"-table"), want)
	})
}

func TestAnInputThatGrewIsAnError(t *testing.T) {
	on(t, func(r *rig) {
		in, group := r.topic("in", 2), r.name("g")
		r.emit(numbers(in, 100, 10)...)
		o := r.fast(r.t.TempDir())
		e := r.start(o, counting(group, in))
		r.processed(100, group, e)
		r.grow(in, 3)
		r.emit(numbers(in, 100, 10)...) // some keys fall on other partitions now
		wraps(r.t, r.failed(e, "group "+group, "partition", "keys would leave their state"), engine.ErrGrown)

		r.refused(o, counting(group, in), "group "+group,
			"topic "+group+"-table: the group table has 2 partitions but the inputs have 3",
			"a count that grows moves keys away from their state: start a new group")
	})
}

func (r *rig) grow(topic string, to int) {
	r.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(r.env.Brokers()...))
	if err != nil {
		r.t.Fatal(err)
	}
	defer cl.Close()
	resp, err := kadm.NewClient(cl).UpdatePartitions(r.ctx, to, topic)
	if err == nil {
		err = resp.Error()
	}
	if err != nil {
		r.t.Fatal(err)
	}
}
