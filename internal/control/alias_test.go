package control

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/seed-73111be4/kappa/record"
)

func golden() Alias {
	return Alias{Name: "stats", Table: "stats.v2-table", Generation: 2, Since: time.UnixMilli(1700000000123).UTC()}
}

// The bytes are durable: a change needs a new version, and this one kept.
const goldenValue = `{"magic":"kappa-control","version":1,"table":"stats.v2-table","generation":2,"since_ms":1700000000123}`

func TestTheAliasFormatStays(t *testing.T) {
	a := golden()
	value, err := a.value()
	if err != nil || string(value) != goldenValue || string(a.key()) != "alias/stats" {
		t.Errorf("%s: %s, %v", a.key(), value, err)
	}
	got, ok, err := parse([]byte("alias/stats"), []byte(goldenValue))
	if got != a || !ok || err != nil {
		t.Errorf("parsed %+v, %v, %v", got, ok, err)
	}
}

func TestAliasesFoldTheTopic(t *testing.T) {
	as := Aliases{}
	for _, step := range []struct {
		key, value string
		changed    bool
		table      string
	}{
		{"alias/stats", goldenValue, true, "stats.v2-table"},
		{"alias/stats", goldenValue, false, "stats.v2-table"},
		{"generation/stats", "of another kind", false, "stats.v2-table"},
		{"alias/stats", "", true, ""},
		{"alias/stats", "", false, ""},
	} {
		r := record.Record{Key: []byte(step.key)}
		if step.value != "" {
			r.Value = []byte(step.value)
		}
		changed, err := as.apply(&r)
		if changed != step.changed || err != nil || as["stats"].Table != step.table {
			t.Errorf("%s = %q: changed %v, %v, %v", step.key, step.value, changed, err, as)
		}
	}
}

func TestAnAliasThatCannotBeReadIsAnError(t *testing.T) {
	for name, v := range map[string]string{
		"no JSON":       `alias`,
		"another magic": `{"magic":"x","version":1,"table":"t"}`,
		"no version":    `{"magic":"kappa-control","table":"t"}`,
		"no table":      `{"magic":"kappa-control","version":1}`,
	} {
		if _, _, err := parse([]byte("alias/a"), []byte(v)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	_, _, err := parse([]byte("alias/a"), []byte(`{"magic":"kappa-control","version":2}`))
	if !errors.Is(err, ErrVersion) {
		t.Errorf("a later version: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("alias/stats"), []byte(goldenValue))
	f.Fuzz(func(t *testing.T, key, value []byte) {
		a, ok, err := parse(key, value)
		if !ok || err != nil {
			return
		}
		v, err := a.value()
		if err != nil {
			t.Fatal(err)
		}
		if again, _, err := parse(a.key(), v); err != nil || again != a {
			t.Errorf("%+v becomes %+v, %v", a, again, err)
		}
	})
}

func TestNearNames(t *testing.T) {
	as := Aliases{"routes": {}}
	topics := []string{"route-stats-table", "flight-status-table", "flights", "x-table"}
	for name, want := range map[string][]string{
		"route-stat":    {"route-stats", "routes"},
		"Route-Stats":   {"route-stats"},
		"stats":         {"route-stats"},
		"rotues":        {"routes"},
		"flight-sttaus": {"flight-status"},
		"airports":      nil,
	} {
		if got := near(name, as, topics); !reflect.DeepEqual(got, want) {
			t.Errorf("near %q: %q, want %q", name, got, want)
		}
	}
}
