package topology_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/codec"

	"github.com/seed-73111be4/kappa/processors"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/schema"
	"github.com/seed-73111be4/kappa/topology"
)

var (
	text = new(codec.String)
	num  = new(codec.Int64)
)

func nothing(goka.Context, any) {}

func count(ctx goka.Context, _ any) {
	n, _ := ctx.Value().(int64)
	ctx.SetValue(n + 1)
}

func countTyped(ctx *processors.Typed[int64], _ string) {
	n, _ := ctx.Value()
	ctx.Set(n + 1)
}

func in(topic goka.Stream) topology.Edge { return topology.Input(topic, text, nothing) }

func build(t testing.TB, name goka.Group, edges ...topology.Edge) *topology.Plan {
	t.Helper()
	p, err := topology.Group(name, edges...).Build()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestEveryMistakeIsNamedWithAHint(t *testing.T) {
	long := strings.Repeat("x", 250)
	var noCodec schema.Codec[string]
	for _, c := range []struct {
		group goka.Group
		edges []topology.Edge
		want  string // "edge: problem (hint" in part
	}{
		{"", []topology.Edge{in("a")}, `group "": the name is empty (use letters`},
		{"a/b", []topology.Edge{in("a")}, `group "a/b": the name has the character '/'`},
		{goka.Group(long[:244]), []topology.Edge{in("a")}, `has 244 characters, at most 243 are legal (shorten it`},
		{"g", nil, `group "g": it has no input (add topology.Input`},
		{"g", []topology.Edge{topology.Loop(text, nothing)}, `it has no input`},
		{"g", []topology.Edge{in("a"), nil}, `an edge is nil (remove it`},
		{"g", []topology.Edge{in("a"), topology.Inputs(nil, text, nothing)}, `inputs: there are no topics (name at least one`},
		{"g", []topology.Edge{in("")}, `input "": the name is empty`},
		{"g", []topology.Edge{in("..")}, `input "..": the name is not legal`},
		{"g", []topology.Edge{in("grüße")}, `the name has the character 'ü'`},
		{"g", []topology.Edge{in(goka.Stream(long))}, `has 250 characters, at most 249`},
		{"g", []topology.Edge{in("a"), topology.Output("o o", text)}, `output "o o": the name has the character ' '`},
		{"g", []topology.Edge{in("a"), topology.Join("j:", text)}, `join "j:": the name has`},
		{"g", []topology.Edge{in("a"), topology.Lookup("", text)}, `lookup "": the name is empty`},
		{"g", []topology.Edge{in("a"), topology.DeadLetter("")}, `dead letter "": the name is empty`},
		{"g", []topology.Edge{in("a"), topology.Store("s s", text)}, `store "s s": the name has`},
		{"g", []topology.Edge{in("a"), topology.Persist(text), topology.Visitor("", nothing)}, `visitor "": the name is empty`},

		{"g", []topology.Edge{in("g-table")}, `input "g-table": this is the group's own table (use topology.Persist`},
		{"g", []topology.Edge{in("g-loop")}, `input "g-loop": this is the group's own loop (use topology.Loop`},
		{"g", []topology.Edge{in("g-state")}, `input "g-state": the suffix -state is reserved`},
		{"g", []topology.Edge{in("h-loop")}, `input "h-loop": the suffix -loop is reserved`},
		{"g", []topology.Edge{in("a"), topology.Join("g-table", text)}, `join "g-table": this is the group's own table`},
		{"g", []topology.Edge{in("a"), topology.Lookup("g-table", text)}, `lookup "g-table": this is the group's own table`},
		{"g", []topology.Edge{in("a"), topology.Lookup("h-state", text)}, `lookup "h-state": the suffix -state is reserved`},
		{"g", []topology.Edge{in("a"), topology.Output("g-table", text)}, `output "g-table": this is the group's own table`},
		{"g", []topology.Edge{in("a"), topology.Output("g-loop", text)}, `use topology.Loop and ctx.Loopback`},
		{"g", []topology.Edge{in("a"), topology.Output("h-table", text)}, `output "h-table": the suffix -table is reserved for the topics of groups (only group "h" may write there`},
		{"g", []topology.Edge{in("a"), topology.DeadLetter("h-state")}, `dead letter "h-state": the suffix -state is reserved`},

		{"g", []topology.Edge{topology.Input("a", nil, nothing)}, `input "a": the codec is nil`},
		{"g", []topology.Edge{topology.Input("a", text, nil)}, `input "a": the callback is nil`},
		{"g", []topology.Edge{in("a"), topology.Loop(nil, nothing)}, `loop: the codec is nil`},
		{"g", []topology.Edge{in("a"), topology.Loop(text, nil)}, `loop: the callback is nil`},
		{"g", []topology.Edge{in("a"), topology.Persist(nil)}, `persist: the codec is nil`},
		{"g", []topology.Edge{in("a"), topology.Join("j", nil)}, `join "j": the codec is nil`},
		{"g", []topology.Edge{in("a"), topology.Lookup("l", nil)}, `lookup "l": the codec is nil`},
		{"g", []topology.Edge{in("a"), topology.Output("o", nil)}, `output "o": the codec is nil`},
		{"g", []topology.Edge{in("a"), topology.Store("s", nil)}, `store "s": the codec is nil`},
		{"g", []topology.Edge{in("a"), topology.OutputOf("o", noCodec)}, `output "o": the codec is nil`},
		{"g", []topology.Edge{in("a"), topology.PersistOf(noCodec)}, `persist: the codec is nil`},
		{"g", []topology.Edge{in("a"), topology.Persist(text), topology.Visitor("v", nil)}, `visitor "v": the callback is nil`},
		{"g", []topology.Edge{topology.InputOf[string, int64]("a", schema.String(), nil, nil)}, `input "a": the callback is nil`},
		{"g", []topology.Edge{in("a"), topology.Visitor("v", nothing)}, `visitor "v": the group has no table to visit (add topology.Persist`},
		{"g", []topology.Edge{in("a"), topology.WithHasher(record.Hasher{})}, `hasher: the hasher is empty (use record.FNV1a`},
		{"g", []topology.Edge{in("a"), topology.StartAt(9)}, `start: there is no such start`},

		{"g", []topology.Edge{in("a"), in("a")}, `input "a": there is another input of this name (names are unique`},
		{"g", []topology.Edge{topology.Inputs(goka.Streams{"a", "b", "a"}, text, nothing)}, `input "a": there is another input`},
		{"g", []topology.Edge{in("a"), topology.Join("a", text)}, `join "a": the topic is an input and a joined table`},
		{"g", []topology.Edge{topology.Join("a", text), in("a")}, `input "a": the topic is an input and a joined table`},
		{"g", []topology.Edge{in("a"), topology.Join("j", text), topology.Join("j", text)}, `join "j": there is another join`},
		{"g", []topology.Edge{in("a"), topology.Lookup("l", text), topology.Lookup("l", text)}, `lookup "l": there is another`},
		{"g", []topology.Edge{in("a"), topology.Output("o", text), topology.Output("o", num)}, `output "o": there is another output`},
		{"g", []topology.Edge{in("a"), topology.Store("s", text), topology.Store("s", num)}, `store "s": there is another store`},
		{"g", []topology.Edge{in("a"), topology.Persist(text), topology.Persist(num)}, `persist: the group has a table already (a group has one`},
		{"g", []topology.Edge{in("a"), topology.Loop(text, nothing), topology.Loop(num, nothing)}, `loop: the group has a loop already`},
		{"g", []topology.Edge{in("a"), topology.DeadLetter("d"), topology.DeadLetter("e")}, `dead letter "e": the group has a dead-letter topic already`},
		{"g", []topology.Edge{in("a"), topology.DeadLetter("a")}, `dead letter "a": the topic is the dead-letter topic and an edge of the kind input (give dead`},
		{"g", []topology.Edge{topology.DeadLetter("o"), in("a"), topology.Output("o", text)}, `output "o": the topic is the dead-letter topic and an edge of the kind output`},
		{"g", []topology.Edge{in("a"), topology.Persist(text), topology.Visitor("v", nothing), topology.Visitor("v", nothing)}, `visitor "v": there is another visitor`},
		{"g", []topology.Edge{in("a"), topology.StartAt(topology.Latest), topology.StartAt(topology.Earliest)}, `start: it is said twice`},
		{"g", []topology.Edge{in("a"), topology.WithHasher(record.FNV1a), topology.WithHasher(record.Murmur2)}, `hasher: it is said twice`},

		{"g", []topology.Edge{topology.InputOf("a", schema.String(), schema.Int64(), countTyped)}, `input "a": it has a state of type int64, but the group has no table (add topology.PersistOf`},
		{"g", []topology.Edge{topology.InputOf("a", schema.String(), nil, countTyped), topology.PersistOf(schema.String())}, `its state is a int64, the table's a string`},
		{"g", []topology.Edge{topology.InputOf("a", schema.String(), nil, countTyped), topology.Persist(num)}, `its state codec is nil and the table is not typed (use topology.PersistOf`},
	} {
		_, err := topology.Group(c.group, c.edges...).Build()
		var one *topology.Mistake
		if !errors.As(err, &one) {
			t.Errorf("no mistake found, want %q: %v", c.want, err)
			continue
		}
		var all topology.Mistakes
		if !errors.As(err, &all) || len(all) != 1 {
			t.Errorf("want one mistake, %q, got %v", c.want, err)
		}
		if !strings.Contains(err.Error(), c.want) || one.Hint == "" {
			t.Errorf("got %q, want %q", err, c.want)
		}
	}
}

func TestWhatIsLegalIsNoMistake(t *testing.T) {
	for name, edges := range map[string][]topology.Edge{
		"another group's table as stream, join and lookup": {in("h-table"), topology.Join("i-table", text), topology.Lookup("j-table", text)},
		"an output that is an input":                       {in("a"), topology.Output("a", text)},
		"an input that is looked up":                       {in("a"), topology.Lookup("a", text)},
		"a store named as a topic":                         {in("a"), topology.Store("a", text), topology.Persist(num), topology.Visitor("a", nothing)},
		"nil processing said twice":                        {in("a"), topology.ProcessNil(), topology.ProcessNil()},
		"a typed input without state":                      {topology.InputOf("a", schema.String(), nil, func(*processors.Typed[struct{}], string) {})},
		"a typed input with its own codec over a table":    {topology.InputOf("a", schema.String(), schema.Int64(), countTyped), topology.Persist(num)},
		"the longest names":                                {in(goka.Stream(strings.Repeat("x", 249)))},
	} {
		if _, err := topology.Group(goka.Group(strings.Repeat("g", 243)), edges...).Build(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAllGroupsAreJudgedTogether(t *testing.T) {
	a, b := topology.Group("same", in("a")), topology.Group("same", in("b"))
	_, err := topology.Build(a, nil, b, topology.Group("other"))
	var all topology.Mistakes
	if !errors.As(err, &all) || len(all) != 3 {
		t.Fatalf("got %v", err)
	}
	for i, want := range []string{"the group is nil", "another group of this application has the same name", "it has no input"} {
		if all[i].Problem != want {
			t.Errorf("mistake %d: %v", i, all[i])
		}
	}
	plans, err := topology.Build(a, topology.Group("other", in("a")))
	if err != nil || len(plans) != 2 || plans[0].Group != "same" || plans[1].Group != "other" {
		t.Errorf("got %v, %v", plans, err)
	}
	if plans, err := topology.Build(); err != nil || len(plans) != 0 {
		t.Errorf("no groups: %v, %v", plans, err)
	}
}

func TestThePlanHoldsWhatTheEdgesSay(t *testing.T) {
	p := build(t, "g",
		topology.Inputs(goka.Streams{"z", "a"}, text, count),
		topology.Persist(num),
		topology.Join("users", text),
		topology.Lookup("m", text), topology.Lookup("l", text),
		topology.Loop(text, count),
		topology.Output("o2", text), topology.Output("o1", num),
		topology.Store("t", text), topology.Store("s", num),
		topology.Visitor("v", nothing),
		topology.DeadLetter("dead"),
		topology.StartAt(topology.Latest),
		topology.WithHasher(record.Murmur2),
		topology.ProcessNil(),
	)
	var topics []string
	for _, in := range p.Inputs {
		topics = append(topics, in.Kind.String()+" "+in.Topic)
		if !in.NeedsKey {
			t.Errorf("%s takes records without key", in.Topic)
		}
		if (in.NewHandler == nil) != (in.Kind == topology.JoinInput) {
			t.Errorf("%s: handler %v", in.Topic, in.NewHandler != nil)
		}
	}
	if got := strings.Join(topics, ", "); got != "stream a, loop g-loop, join users, stream z" {
		t.Errorf("inputs %s", got)
	}
	if p.Table.Topic != "g-table" || p.Loop.Topic != "g-loop" || p.StateTopic != "g-state" || p.DeadLetter != "dead" {
		t.Errorf("topics of %+v", p)
	}
	if p.OnError != topology.DeadLetters || p.Start != topology.Latest || !p.ProcessNil || p.Hasher.Name != "murmur2" {
		t.Errorf("options of %+v", p)
	}
	if p.Lookups[0].Topic != "l" || p.Outputs[0].Topic != "o1" || p.Stores[0].Name != "s" || p.Visitors[0].Name != "v" {
		t.Errorf("order of %+v", p)
	}
	p = build(t, "g", in("a"))
	if p.OnError != topology.Fail || p.Start != topology.Earliest || p.ProcessNil || p.Hasher.Name != "fnv1a" || p.Inputs[0].NeedsKey {
		t.Errorf("defaults of %+v", p)
	}
}

func TestOnlyKeyedStateNeedsKeys(t *testing.T) {
	for _, c := range []struct {
		edge topology.Edge
		want bool
	}{
		{topology.Persist(num), true},
		{topology.Join("j", text), true},
		{topology.Store("s", text), true},
		{topology.Lookup("l", text), false},
		{topology.Output("o", text), false},
	} {
		if p := build(t, "g", in("a"), c.edge); p.Inputs[0].NeedsKey != c.want {
			t.Errorf("%v: needs key %v", c.edge, p.Inputs[0].NeedsKey)
		}
	}
}

func TestGokasSuffixSettersDoNotReachThePlan(t *testing.T) {
	goka.SetTableSuffix("-tabelle")
	goka.SetLoopSuffix("-schleife")
	defer goka.ResetSuffixes()
	d := topology.Group("g", in("a"), topology.Persist(num), topology.Loop(text, nothing))
	p, err := d.Build()
	if err != nil || p.Table.Topic != "g-table" || p.Loop.Topic != "g-loop" {
		t.Errorf("got %+v, %v", p, err)
	}
	_, err = d.GroupGraph()
	for _, want := range []string{"goka names the table g-tabelle, not g-table", "the loop g-schleife", "goka.ResetSuffixes"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the graph: %v, want %q", err, want)
		}
	}
}

func TestTheFingerprintIsTheShape(t *testing.T) {
	base := func(more ...topology.Edge) string {
		return build(t, "g", append([]topology.Edge{in("a"), topology.Persist(num)}, more...)...).Fingerprint
	}
	want := base()
	if want != "1-in1-table-10295014bd5f6a0f" {
		t.Errorf("the rule has changed: %s; running groups would refuse to join", want)
	}
	for name, same := range map[string]string{
		"other codecs and callbacks": build(t, "g", topology.PersistOf(schema.String()), topology.Input("a", num, count)).Fingerprint,
		"an output":                  base(topology.Output("o", text)),
		"a lookup":                   base(topology.Lookup("l", text)),
		"a visitor":                  base(topology.Visitor("v", nothing)),
		"an error policy":            base(topology.DeadLetter("d")),
		"a start":                    base(topology.StartAt(topology.Latest)),
	} {
		if same != want {
			t.Errorf("%s changes the fingerprint to %s", name, same)
		}
	}
	seen := map[string]string{want: "the base"}
	for name, other := range map[string]string{
		"the group":   build(t, "h", in("a"), topology.Persist(num)).Fingerprint,
		"an input":    base(in("b")),
		"a join":      base(topology.Join("b", text)),
		"a loop":      base(topology.Loop(text, nothing)),
		"a store":     base(topology.Store("s", text)),
		"the hasher":  base(topology.WithHasher(record.Murmur2)),
		"no table":    build(t, "g", in("a")).Fingerprint,
		"input names": build(t, "g", in("c"), topology.Persist(num)).Fingerprint,
	} {
		if seen[other] != "" {
			t.Errorf("%s has the fingerprint of %s", name, seen[other])
		}
		seen[other] = name
	}
}
