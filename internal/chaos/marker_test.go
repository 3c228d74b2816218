package chaos

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
)

// markerKey is the key of a marker: no group's, for they have ended.
const markerKey = "marker"

// readMarkers writes a record behind the end of every partition, outside of any
// transaction, and reads them all as committed ones: that it can proves that no
// transaction hangs. On the way it reads the whole table.
func (r *rig) readMarkers() (table map[string]fold, read int, err error) {
	ctx, cancel := context.WithTimeout(r.ctx, patience)
	defer cancel()
	tableTopic := r.child.Group + "-table"
	parts := map[string]int32{r.child.In: r.o.tasks, r.child.Out: r.o.outs, tableTopic: r.o.tasks, r.child.Group + "-state": r.o.tasks}
	from := map[string]map[int32]kgo.Offset{}
	missing := map[string]bool{}
	for topic, n := range parts {
		from[topic] = map[int32]kgo.Offset{}
		for p := range n {
			m, err := r.cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Partition: p, Key: []byte(markerKey)}).First()
			if err != nil {
				return nil, 0, fmt.Errorf("write a marker to %s/%d: %w", topic, p, err)
			}
			from[topic][p] = kgo.NewOffset().At(m.Offset)
			if topic == tableTopic {
				from[topic][p] = kgo.NewOffset().AtStart()
			}
			missing[fmt.Sprintf("%s/%d", topic, p)] = true
		}
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(r.env.Brokers()...), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumePartitions(from))
	if err != nil {
		return nil, 0, err
	}
	defer cl.Close()
	table = map[string]fold{}
	for len(missing) > 0 {
		fetched := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			return table, read, fmt.Errorf("a transaction hangs, or the marker is lost: %v", slices.Sorted(maps.Keys(missing)))
		}
		fetched.EachRecord(func(x *kgo.Record) {
			switch {
			case string(x.Key) == markerKey:
				delete(missing, fmt.Sprintf("%s/%d", x.Topic, x.Partition))
				read++
			case x.Topic == tableTopic:
				f, bad := parseFold(x.Value)
				err = errors.Join(err, bad)
				table[string(x.Key)] = f
			}
		})
	}
	return table, read, err
}

// differ compares the table with what it must hold.
func differ(got, want map[string]fold) error {
	if maps.Equal(got, want) {
		return nil
	}
	n, example := 0, ""
	for k, f := range want {
		if got[k] != f {
			n++
			example = fmt.Sprintf("%s is %+v, want %+v", k, got[k], f)
		}
	}
	for k, f := range got {
		if _, ok := want[k]; !ok {
			n++
			example = fmt.Sprintf("%s is %+v, and was never fed", k, f)
		}
	}
	return fmt.Errorf("%d keys of the table are wrong: %s", n, example)
}
