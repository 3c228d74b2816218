package integration

import (
	"errors"
	"strconv"
	"testing"

	"github.com/lovoo/goka"
	gcodec "github.com/lovoo/goka/codec"
	"gocloud.dev/blob/memblob"

	"github.com/seed-73111be4/kappa/archive"
	"github.com/seed-73111be4/kappa/internal/engine"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/topology"
)

func (r *rig) archive() *archive.Archive {
	b := memblob.OpenBucket(nil)
	r.t.Cleanup(func() { b.Close() })
	return archive.New(b, archive.Config{})
}

// withArchive are fast options with an archive.
func (r *rig) withArchive(a *archive.Archive) engine.Options {
	o := r.fast(r.t.TempDir())
	o.Archive = a
	return o
}

// archivedAlone archives a topic and deletes it.
func (r *rig) archivedAlone(a *archive.Archive, topic string) {
	r.t.Helper()
	r.archived(a, topic, 8<<10)
	r.must(r.k.DeleteTopics(r.ctx, topic))
	r.until("the topic to go", func() bool {
		there, err := r.k.Topics(r.ctx, topic)
		return err == nil && len(there) == 0
	})
}

// A topic that Kafka does not know any more is read from the archive, exactly once, by
// several processes, one of which crashes; a bounded run ends with it.
func TestATopicThatOnlyTheArchiveHasIsRead(t *testing.T) {
	each(t, func(r *rig) {
		const n, keys = 3000, 50
		a := r.archive()
		in, out, group := r.topic("in", 4), r.topic("out", 2), r.name("g")
		for part := range 6 {
			r.emit(sent(in, part*n/6, n/6, keys)...)
		}
		r.archivedAlone(a, in)
		one, two := r.withArchive(a), r.withArchive(a)
		for _, o := range []*engine.Options{&one, &two} {
			o.Until, o.BatchBytes = untilNow(), 4000
		}
		e, f := r.start(one, announcing(group, in, out)), r.start(two, announcing(group, in, out))
		r.until("a commit", func() bool { return committed([]*engine.Engine{e, f}, group) > 0 })
		f.Kill()
		f = r.start(two, announcing(group, in, out))
		r.concluded(e, f)
		r.equal("table", r.table(group+"-table"), countsOf(n, keys))
		r.equal("output", r.announced(out), announcedBy(n, keys))
		one.Until = nil
		e = r.start(one, announcing(group, in, out)) // it goes on where it was: at the end, idle
		r.ready(e)
		r.stop(e)
		r.equal("output", r.announced(out), announcedBy(n, keys))
	})
}

// Beside an input that lives on, one that is over ends and holds nobody back.
func TestAnInputThatIsOverHoldsNobodyBack(t *testing.T) {
	each(t, func(r *rig) {
		const n, keys = 600, 20
		a := r.archive()
		old, in, group := r.topic("old", 3), r.topic("in", 3), r.name("g")
		r.emit(numbers(old, n, keys)...)
		r.emit(numbers(in, n, keys)...)
		r.archivedAlone(a, old)
		count := func(ctx goka.Context, _ any) {
			sum, _ := ctx.Value().(int64)
			ctx.SetValue(sum + 1)
		}
		def := topology.Group(goka.Group(group),
			topology.Input(goka.Stream(old), new(gcodec.String), count),
			topology.Input(goka.Stream(in), new(gcodec.String), count),
			topology.Persist(new(gcodec.Int64)))
		o := r.withArchive(a)
		e := r.start(o, def)
		r.processed(2*n, group, e)
		r.emit(sent(in, n, n, keys)...)
		r.processed(3*n, group, e)
		r.stop(e)
		o.Until = untilNow()
		r.concluded(r.start(o, def))
		want := map[string]string{}
		for k, v := range countsOf(n, keys) {
			c, _ := strconv.Atoi(v)
			want[k] = strconv.Itoa(3 * c)
		}
		r.equal("table", r.table(group+"-table"), want)
	})
}

// Of several topics that had the name the newest is read, and the log says so; where
// neither Kafka nor the archive has it, the error does.
func TestOfSeveralPastTopicsTheNewestIsRead(t *testing.T) {
	each(t, func(r *rig) {
		a := r.archive()
		in, group := r.topic("in", 2), r.name("g")
		r.emit(numbers(in, 100, 10)...)
		r.archivedAlone(a, in)
		r.create(kafka.TopicSpec{Name: in, Partitions: 3, Config: map[string]string{"retention.ms": "-1"}})
		r.emit(numbers(in, 200, 10)...)
		r.archivedAlone(a, in)
		o := r.withArchive(a)
		o.Until = untilNow()
		j := journaled(r.t, &o)
		r.concluded(r.start(o, counting(group, in)))
		r.equal("table", r.table(group+"-table"), countsOf(200, 10))
		j.has(r.t, "several topics had the name, the newest is read", in)
		j.has(r.t, "the topic is in the archive alone", in)

		missing := r.name("missing")
		_, err := r.tryStart(r.withArchive(a), counting(r.name("h"), missing))
		says(r.t, err, missing, "neither in Kafka nor, of this cluster, in the archive")
		if _, err = r.tryStart(r.fast(""), counting(group, in)); err == nil || errors.Is(err, engine.ErrHistories) {
			r.t.Errorf("without the archive: %v", err)
		}
	})
}
