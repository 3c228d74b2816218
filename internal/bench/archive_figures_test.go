package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/seed-73111be4/kappa/archive"
	"github.com/seed-73111be4/kappa/archive/bucket"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/record"
)

// replayFigures are the ceiling and P5: records per CPU-second out of the archive,
// beside the same records out of Kafka. All take turns.
func replayFigures(l *lab) error {
	in := standard("hot", l.records)
	if err := l.ensure(in); err != nil {
		return err
	}
	live := []contender{passer("pass"), contenders()[count]}
	all := append([]contender{passer("sink")}, live...)
	for _, kind := range stores {
		if !l.wants("P5/" + kind) {
			continue
		}
		if _, err := l.archive(in.topic(), l.bucketOf(kind)); err != nil {
			return err
		}
		for _, c := range live {
			all = append(all, replaying(c, l.bucketOf(kind)))
		}
	}
	costs := map[string][]result{}
	for round := 1; round <= l.rounds; round++ {
		for _, c := range all {
			r, err := l.measure(c, in, round, "")
			if err != nil {
				return err
			}
			costs[c.name] = append(costs[c.name], r)
		}
		slices.Reverse(all)
	}
	ceiling, err := l.ceiling(in, costs["sink"])
	if err != nil {
		return err
	}
	for _, kind := range stores {
		for _, c := range live {
			if replayed := costs[c.name+"-from-"+kind]; len(replayed) > 0 {
				l.report.replayed(c.name, kind, costs[c.name], replayed, ceiling)
			}
		}
	}
	return nil
}

// ceiling is how much cheaper decoding in memory is than consuming.
func (l *lab) ceiling(in input, sinks []result) (float64, error) {
	p, err := l.startChild(childRun{Program: "decode", In: in.topic(), Group: l.name("decode"), Tasks: int(in.Partitions), Records: in.Records})
	if err != nil {
		return 0, err
	}
	defer p.kill()
	if err := l.await("the input is decoded", func() bool { return p.ended() != nil }); err != nil {
		return 0, err
	}
	if p.err != nil {
		return 0, fmt.Errorf("decode: %w\n%s", p.err, p.lastLog())
	}
	var d decoded
	if err := json.Unmarshal(p.out.Bytes(), &d); err != nil {
		return 0, err
	}
	decode := d.CPU * 1e6 / float64(d.Records)
	w := row{
		Figure: "ceiling", Case: "decoding in memory", Unit: "×", Of: "records per CPU-second of consuming by franz-go",
		Note: fmt.Sprintf("%s µs a record, made into kappa's records, ÷ %s µs for consuming and committing, no more", number(decode), number(medianCost(sinks))),
	}
	for _, s := range sinks {
		w.Values = append(w.Values, s.CPU/decode)
	}
	l.report.add(w)
	return w.reached(), nil
}

func medianCost(rs []result) float64 {
	var costs []float64
	for _, r := range rs {
		costs = append(costs, r.CPU)
	}
	return median(costs)
}

// replayed adds what a program gains where it reads from the archive.
func (r *report) replayed(name, kind string, live, replay []result, ceiling float64) {
	own := row{
		Figure: "P5", Case: name + ", " + kind, Unit: "×", Of: "records per CPU-second, live", Target: atLeast(1),
		Note: fmt.Sprintf("%s ÷ %s µs", number(medianCost(live)), number(medianCost(replay))),
	}
	whole := row{Figure: "P5", Case: name + ", " + kind + ", all processes", Unit: "×", Of: own.Of, Target: atLeast(1), Note: "the program, the broker and the S3 server"}
	share := row{Figure: "P5", Case: name + ", " + kind + ", of the ceiling", Unit: "×", Of: fmt.Sprintf("the ceiling, %s ×", number(ceiling)), Target: atLeast(.8)}
	for i := range replay {
		own.Values = append(own.Values, live[i].CPU/replay[i].CPU)
		whole.Values = append(whole.Values, (live[i].CPU+live[i].Broker)/(replay[i].CPU+replay[i].Broker))
	}
	for _, v := range own.Values {
		share.Values = append(share.Values, v/ceiling)
	}
	r.add(own)
	r.add(whole)
	r.add(share)
}

// wallFigures are P5w: how long a count takes over a past, while its input is fed.
func wallFigures(l *lab) error {
	took := map[string][]float64{}
	for round := 1; round <= l.rounds; round++ {
		ways := append([]string{""}, stores...)
		if round%2 == 0 {
			slices.Reverse(ways)
		}
		for _, kind := range ways {
			if kind != "" && !l.wants("P5w/"+kind) {
				continue
			}
			seconds, err := l.caughtUpFrom(kind)
			if err != nil {
				return err
			}
			took[kind] = append(took[kind], seconds)
		}
	}
	for _, kind := range stores {
		if len(took[kind]) == 0 {
			continue
		}
		w := row{
			Figure: "P5w", Case: fmt.Sprintf("%s records, %s", number(float64(l.records)), kind), Unit: "×", Of: "catching up from Kafka", Target: atMost(1),
			Note: fmt.Sprintf("%s ÷ %s s, from the start of the process, while %s records/s come in", number(median(took[kind])), number(median(took[""])), number(l.live)),
		}
		for i, s := range took[kind] {
			w.Values = append(w.Values, s/took[""][i])
		}
		l.report.add(w)
	}
	return nil
}

// caughtUpFrom returns how long a count takes to commit the past of an input, out of
// an archive or, without a kind, out of Kafka.
func (l *lab) caughtUpFrom(kind string) (float64, error) {
	v, err := l.newLive(standard("hot", l.records), time.Millisecond)
	if err != nil {
		return 0, err
	}
	var flags []string
	if kind != "" {
		if _, err := l.archive(v.topic, l.bucketOf(kind)); err != nil {
			return 0, err
		}
		flags = []string{"--bucket", l.bucketOf(kind)}
	}
	v.pace(l.live)
	if v.proc, err = l.startCount(l.count, v.group, v.topic, flags...); err != nil {
		return 0, err
	}
	defer v.proc.kill()
	s, err := l.follow(v.proc, v.group, v.topic, v.in.Records)
	if err != nil {
		return 0, err
	}
	seconds := s[len(s)-1].at.Seconds()
	l.logf("P5w %-4s %.2f s", kind, seconds)
	return seconds, v.close()
}

// archiverFigures are what archiving costs, over few partitions and many.
func archiverFigures(l *lab) error {
	flat := int64(0)
	for _, n := range []int32{partitions, int32(slices.Max(l.partitions))} {
		in := input{Dist: "hot", Keys: keysOf["hot"], Records: l.records / 2, ValueBytes: 1000, Partitions: n}
		if err := l.ensure(in); err != nil {
			return err
		}
		for _, kind := range stores {
			if kind != "file" && n != partitions {
				continue
			}
			a, err := l.archive(in.topic(), l.bucketOf(kind))
			if err != nil {
				return err
			}
			l.report.add(row{
				Figure: "archiver", Case: fmt.Sprintf("%s, %d partitions", kind, n), Values: []float64{perSecond(a.bytes, a.cpu)}, Unit: "MB", Of: "a CPU-second of its process",
				Target: atLeast(300), Note: fmt.Sprintf("%s in %s s", megabytes(float64(a.bytes)/1e6), number(a.seconds)),
			})
			if flat == 0 {
				flat = a.rss
			}
			if kind == "file" && n != partitions {
				l.report.add(row{
					Figure: "archiver", Case: fmt.Sprintf("memory, %d partitions", n), Values: []float64{float64(a.rss) / float64(flat)}, Unit: "×", Of: fmt.Sprintf("%d partitions", partitions),
					Target: atMost(1.2), Note: fmt.Sprintf("%d ÷ %d MiB at the peak", a.rss>>20, flat>>20),
				})
			}
		}
		if err := l.drop(in); err != nil {
			return err
		}
	}
	return nil
}

// resetFigures are how long it takes until the first record out of an archive of many
// segments is processed and committed.
func resetFigures(l *lab) error {
	for _, kind := range stores {
		topic := l.name("segments")
		if err := l.segmented(topic, kind); err != nil {
			return err
		}
		w := row{
			Figure: "reset", Case: fmt.Sprintf("%s, %s segments", kind, number(float64(l.segments))), Unit: "s", Of: "the start of the verb reset", Target: atMost(1),
			Note: "until the first record is committed, at 10 ms between commits: the verb, then the start of the program",
		}
		group := l.name("first")
		if _, err := l.first(group, topic, kind); err != nil {
			return err
		}
		for range l.rounds {
			begun := time.Now()
			reset := exec.CommandContext(l.ctx, l.count, "reset", group, "--brokers", strings.Join(l.brokers, ","), "--bucket", l.bucketOf(kind), "--to-earliest", "--yes")
			if text, err := reset.CombinedOutput(); err != nil {
				return fmt.Errorf("reset %s: %w\n%s", group, err, text)
			}
			took := time.Since(begun)
			if n := l.committed(group, topic); n != 0 {
				return fmt.Errorf("group %s stands at %d after its reset", group, n)
			}
			first, err := l.first(group, topic, kind)
			if err != nil {
				return err
			}
			w.Values = append(w.Values, (took + first).Seconds())
			l.logf("reset, %s: the verb %.2f s, the program %.2f s", kind, took.Seconds(), first.Seconds())
		}
		l.report.add(w)
		if err := l.sweep(group); err != nil {
			return err
		}
	}
	return nil
}

// first runs a count until it has committed a record, and returns when that was. The
// count leaves its group.
func (l *lab) first(group, topic, kind string) (time.Duration, error) {
	p, err := l.startCount(l.count, group, topic, "--bucket", l.bucketOf(kind), "--commit-interval", "10ms", "--instance", "first")
	if err != nil {
		return 0, err
	}
	s, err := l.follow(p, group, topic, 1)
	if err = errors.Join(err, p.stop()); err != nil {
		return 0, err
	}
	leave := exec.CommandContext(l.ctx, l.count, "leave", "first", "--group", group, "--brokers", strings.Join(l.brokers, ","))
	if text, err := leave.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("leave %s: %w\n%s", group, err, text)
	}
	return s[0].at, nil
}

// segmented makes a topic of one partition and its archive of many segments, a batch
// each.
func (l *lab) segmented(topic, kind string) error {
	if err := l.topic(topic, 1); err != nil {
		return err
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(l.brokers...), kgo.DefaultProduceTopic(topic), kgo.ProducerBatchMaxBytes(1000),
		kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		return err
	}
	defer client.Close()
	records := make([]*kgo.Record, 3*l.segments)
	for i := range records {
		records[i] = &kgo.Record{Key: appendKey(nil, uint64(i)), Value: make([]byte, 400)}
	}
	if err := client.ProduceSync(l.ctx, records...).FirstErr(); err != nil {
		return err
	}
	b, err := bucket.Open(l.ctx, l.bucketOf(kind))
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }() // all of it was acknowledged
	return l.segment(archive.New(b, archive.Config{}), topic)
}

func (l *lab) segment(a *archive.Archive, topic string) error {
	cluster, err := kafka.Open(l.ctx, kafka.Config{Brokers: l.brokers})
	if err != nil {
		return err
	}
	defer cluster.Close()
	part := record.Partition{Topic: topic}
	ends, err := cluster.Ends(l.ctx, part)
	if err != nil {
		return err
	}
	chunks, err := readRaw(l.ctx, cluster, part, 1<<40)
	if err != nil {
		return err
	}
	w, err := a.Writer(l.ctx, archive.Log{Cluster: cluster.ID(), Topic: topic, TopicID: ends.TopicID})
	if err != nil {
		return err
	}
	var edits []archive.Edit
	next := int64(0)
	for _, c := range chunks {
		for batch, err := range archive.Batches(c.raw) {
			if err != nil {
				return err
			}
			if len(edits) == l.segments-1 {
				break // what is left stays in Kafka alone
			}
			s, err := w.SegmentAt(l.ctx, next, archive.SegmentConfig{})
			if err != nil {
				return err
			}
			if next, err = s.Append(archive.Fetched{Raw: batch.Raw, Stable: -1}); err != nil {
				return err
			}
			sealed, err := s.Seal()
			if err != nil {
				return err
			}
			edits = append(edits, archive.Append(sealed))
		}
	}
	m, err := w.Commit(l.ctx, edits...)
	if err == nil {
		l.logf("%s: %d segments", topic, len(m.Segments))
	}
	return err
}
