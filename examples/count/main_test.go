package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/lovoo/goka"

	"github.com/seed-73111be4/kappa/examples/internal/pasttest"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/topology"
	"github.com/seed-73111be4/kappa/topology/topologytest"
)

func TestBothWaysCountTheSame(t *testing.T) {
	for name, count := range map[string]func(goka.Group, goka.Stream, goka.Stream) *topology.Def{
		"goka's callback": counter, "typed": typedCounter,
	} {
		t.Run(name, func(t *testing.T) {
			d := topologytest.New(t, count("counts", "in", "out"))
			for _, key := range []string{"a", "b", "a"} {
				d.SendRecord(record.Record{Topic: "in", Key: []byte(key), Value: []byte("x")})
			}
			d.Crash()
			d.SendRecord(record.Record{Topic: "in", Key: []byte("a"), Value: []byte("x")})
			if a, b := d.Table("a"), d.Table("b"); a != int64(3) || b != int64(1) {
				t.Errorf("a %v, b %v, want 3 and 1", a, b)
			}
			var got []any
			for _, m := range d.Output("out") {
				if m.Key == "a" {
					got = append(got, m.Value)
				}
			}
			if len(got) != 3 || got[0] != int64(1) || got[2] != int64(3) {
				t.Errorf("updates of a: %v", got)
			}
			if len(d.Changelog()) == 0 {
				t.Error("no changelog")
			}
		})
	}
}

func TestWithoutAnOutputNothingIsEmitted(t *testing.T) {
	for _, def := range []*topology.Def{counter("counts", "in", ""), typedCounter("counts", "in", "")} {
		d := topologytest.New(t, def)
		d.SendRecord(record.Record{Topic: "in", Key: []byte("a"), Value: []byte("x")})
		if d.Table("a") != int64(1) {
			t.Errorf("a %v", d.Table("a"))
		}
	}
}

// What Kafka has forgotten, and the archive has, counts as if Kafka had it.
func TestAnArchivedPastCountsAsKafkaWould(t *testing.T) {
	for _, more := range [][]string{nil, {"--typed"}, {"--output", "updates"}, {"--output", "updates", "--typed"}} {
		t.Run(strings.Join(append([]string{"count"}, more...), " "), func(t *testing.T) {
			t.Parallel()
			p := pasttest.Program{
				App: app, Args: append([]string{"run", "--input", "clicks", "--group", "counts"}, more...),
				Input: "clicks", Table: "counts-table",
			}
			if slices.Contains(more, "updates") {
				p.Output = "updates"
			}
			pasttest.Holds(t, p)
		})
	}
}
