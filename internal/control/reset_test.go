package control

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/seed-73111be4/kappa/record"
)

func goldenReset() *Reset {
	return &Reset{
		Group: "stats", Number: 3, Generation: 2, Table: "stats.g2-table", State: "stats.g2-state",
		At: time.UnixMilli(1700000000123).UTC(), To: map[string][]int64{"clicks": {500, 0}}, Until: map[string][]int64{"clicks": {101000, 0}}, Mute: true,
		Old: []string{"stats-state", "stats-table"},
	}
}

func goldenShape() *Shape {
	return &Shape{
		Group: "stats", Fingerprint: "1-in1-table-0011", Partitions: 2,
		Inputs: []ShapeInput{{"clicks", StreamShape}, {"stats-loop", LoopShape}, {"users", JoinShape}},
		Table:  "stats-table", State: "stats-state", Outputs: []string{"totals"},
	}
}

// The bytes are durable: a change needs a new version, and these kept.
const (
	goldenResetValue = `{"magic":"kappa-control","version":1,"number":3,"generation":2,"table":"stats.g2-table","state":"stats.g2-state","at_ms":1700000000123,"to":{"clicks":[500,0]},"until":{"clicks":[101000,0]},"mute":true,"old":["stats-state","stats-table"]}`
	goldenShapeValue = `{"magic":"kappa-control","version":1,"fingerprint":"1-in1-table-0011","partitions":2,"inputs":[{"topic":"clicks","kind":"stream"},{"topic":"stats-loop","kind":"loop"},{"topic":"users","kind":"join"}],"table":"stats-table","state":"stats-state","outputs":["totals"]}`
)

func TestTheResetAndShapeFormatsStay(t *testing.T) {
	r, err := goldenReset().Record()
	if err != nil || string(r.Value) != goldenResetValue || string(r.Key) != "reset/stats" || r.Topic != Topic {
		t.Errorf("%s: %s, %v", r.Key, r.Value, err)
	}
	s, err := goldenShape().Record(time.UnixMilli(5))
	if err != nil || string(s.Value) != goldenShapeValue || string(s.Key) != "shape/stats" || s.Timestamp != 5 {
		t.Errorf("%s: %s, %v", s.Key, s.Value, err)
	}
	got, err := parseReset("stats", []byte(goldenResetValue))
	if err != nil || !reflect.DeepEqual(got, goldenReset()) {
		t.Errorf("parsed %+v, %v", got, err)
	}
	shape, err := parseShape("stats", []byte(goldenShapeValue))
	if err != nil || !shape.Equal(goldenShape()) {
		t.Errorf("parsed %+v, %v", shape, err)
	}
}

func TestTheStateFoldsAllKinds(t *testing.T) {
	s := newState()
	for _, kv := range [][2]string{
		{"alias/stats", goldenValue}, {"reset/stats", goldenResetValue}, {"shape/stats", goldenShapeValue}, {"later/stats", "of another kind"},
		{"reset/other", goldenResetValue}, {"reset/other", ""},
	} {
		r := record.Record{Key: []byte(kv[0])}
		if kv[1] != "" {
			r.Value = []byte(kv[1])
		}
		if err := s.apply(&r); err != nil {
			t.Fatalf("%s: %v", kv[0], err)
		}
	}
	if len(s.Aliases) != 1 || len(s.Resets) != 1 || len(s.Shapes) != 1 || s.Resets["stats"].Number != 3 {
		t.Errorf("%+v", s)
	}
}

func TestAResetThatCannotBeReadIsAnError(t *testing.T) {
	for name, v := range map[string]string{
		"no JSON":         `reset`,
		"another magic":   `{"magic":"x","version":1,"state":"s","number":1,"generation":1}`,
		"no state":        `{"magic":"kappa-control","version":1,"number":1,"generation":1}`,
		"no number":       `{"magic":"kappa-control","version":1,"state":"s","generation":1}`,
		"negative offset": `{"magic":"kappa-control","version":1,"state":"s","number":1,"generation":1,"until":{"a":[0,-1]}}`,
	} {
		if _, err := parseReset("a", []byte(v)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := parseReset("a", []byte(`{"magic":"kappa-control","version":2}`)); !errors.Is(err, ErrVersion) {
		t.Errorf("a later version: %v", err)
	}
	if _, err := parseShape("a", []byte(`{"magic":"kappa-control","version":1,"state":"s","inputs":[{"topic":"t","kind":"x"}]}`)); err == nil {
		t.Error("an input of no kind: no error")
	}
}

func TestAResetKnowsItsGoals(t *testing.T) {
	r := goldenReset()
	zero, one := record.Partition{Topic: "clicks"}, record.Partition{Topic: "clicks", Partition: 1}
	if r.Goal(zero) != 101000 || r.Goal(one) != 0 || r.Goal(record.Partition{Topic: "clicks", Partition: 7}) != 0 || (*Reset)(nil).Goal(zero) != 0 {
		t.Errorf("goals %d, %d", r.Goal(zero), r.Goal(one))
	}
	if left, total := r.Left(map[record.Partition]int64{zero: 1000, one: 5}); left != 100000 || total != 100500 {
		t.Errorf("%d of %d left", left, total)
	}
	if got := r.Goals(); !reflect.DeepEqual(got, []record.Partition{zero}) {
		t.Errorf("goals %v", got)
	}
}

func TestGenerationsAreToldByTheirTopics(t *testing.T) {
	for topic, want := range map[string]uint64{
		"stats-table": 1, "stats-state": 1, "stats.g2-table": 2, "stats.g17-state": 17,
		"stats-loop": 0, "stats.g2": 0, "stats.g1-table": 0, "stats.g02-table": 0, "stats.gx-table": 0, "other-table": 0, "stats.v2-table": 0,
	} {
		got, ok := GenerationOf("stats", topic)
		if got != want || ok != (want > 0) {
			t.Errorf("%s: %d, %v", topic, got, ok)
		}
		if table, state := Topics("stats", want); want > 0 && topic != table && topic != state {
			t.Errorf("generation %d has %s and %s", want, table, state)
		}
	}
}

func FuzzParseReset(f *testing.F) {
	f.Add("stats", []byte(goldenResetValue))
	f.Fuzz(func(t *testing.T, group string, value []byte) {
		r, err := parseReset(group, value)
		if err != nil {
			return
		}
		rec, err := r.Record()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := parseReset(group, rec.Value); err != nil || again.Number != r.Number || !reflect.DeepEqual(again.Goals(), r.Goals()) {
			t.Errorf("%+v becomes %+v, %v", r, again, err)
		}
	})
}

func FuzzParseShape(f *testing.F) {
	f.Add("stats", []byte(goldenShapeValue))
	f.Fuzz(func(t *testing.T, group string, value []byte) {
		s, err := parseShape(group, value)
		if err != nil {
			return
		}
		rec, err := s.Record(time.UnixMilli(0))
		if err != nil {
			t.Fatal(err)
		}
		if again, err := parseShape(group, rec.Value); err != nil || len(again.Inputs) != len(s.Inputs) {
			t.Errorf("%+v becomes %+v, %v", s, again, err)
		}
	})
}
