package topology_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/codec"
	"github.com/lovoo/goka/tester"

	"github.com/seed-73111be4/kappa/processors"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/schema"
	"github.com/seed-73111be4/kappa/topology"
)

func graphOf(t testing.TB, name goka.Group, edges ...topology.Edge) *goka.GroupGraph {
	t.Helper()
	g, err := topology.Group(name, edges...).GroupGraph()
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Validate(); err != nil {
		t.Fatal(err)
	}
	return g
}

func TestTheGraphHasTheSameTopics(t *testing.T) {
	g := graphOf(t, "g",
		topology.Inputs(goka.Streams{"a", "b"}, text, count), topology.Persist(num), topology.Join("j", text),
		topology.Lookup("l", text), topology.Loop(text, count), topology.Output("o", text), topology.Visitor("v", nothing),
		topology.StartAt(topology.Latest), topology.WithHasher(record.Murmur2), topology.ProcessNil())
	got := fmt.Sprintln(g.Group(), g.InputStreams().Topics(), g.JointTables().Topics(), g.LookupTables().Topics(),
		g.OutputStreams().Topics(), g.LoopStream().Topic(), g.GroupTable().Topic())
	if got != "g [a b] [j] [l] [o] g-loop g-table\n" {
		t.Errorf("got %s", got)
	}
	if len(g.AllEdges()) != 8 {
		t.Errorf("edges %v", g.AllEdges())
	}
	if g.GroupTable().Codec() != goka.Codec(num) {
		t.Errorf("the table's codec is %T, not the user's", g.GroupTable().Codec())
	}
}

func TestWhatGokaLacksIsNamed(t *testing.T) {
	_, err := topology.Group("g", in("a"), topology.Store("s", text), topology.DeadLetter("d")).GroupGraph()
	var all topology.Mistakes
	if !errors.As(err, &all) || len(all) != 2 || all[0].Edge != `store "s"` || all[1].Edge != `dead letter "d"` {
		t.Errorf("got %v", err)
	}
	if _, err := topology.Group("g").GroupGraph(); err == nil || !strings.Contains(err.Error(), "it has no input") {
		t.Errorf("a graph of a broken definition: %v", err)
	}
}

// run starts stock goka on the graph with its own tester, calls fn, stops it and
// returns the error that it ended with.
func run(t *testing.T, g *goka.GroupGraph, fn func(*tester.Tester)) error {
	t.Helper()
	tt := tester.New(t)
	p, err := goka.NewProcessor(nil, g, goka.WithTester(tt))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	fn(tt)
	stop()
	return <-done
}

func TestTypedCallbacksRunOnStockGoka(t *testing.T) {
	out := topology.OutputOf("out", schema.JSON[click]())
	users := topology.JoinOf("users", schema.String())
	var records []string
	g := graphOf(t, "g", out, users, topology.PersistOf(schema.Int64()),
		topology.InputOf("in", schema.JSON[click](), nil, func(ctx *processors.Typed[int64], msg click) {
			r := ctx.Record()
			records = append(records, fmt.Sprintf("%s %s %s %q", r.Topic, r.Key, r.Value, r.Headers))
			n, _ := ctx.Value()
			ctx.Set(n + 1)
			name, _ := users.Get(ctx)
			out.EmitWith(ctx, msg.User, click{User: name}, processors.Emit{Headers: []record.Header{{Key: "h", Value: []byte("v")}}})
			ctx.Loopback("other", "x")
		}),
		topology.LoopOf(schema.String(), nil, func(ctx *processors.Typed[int64], _ string) {
			ctx.Set(100)
			out.Emit(ctx, "loop", click{})
			out.Delete(ctx, "loop")
		}))
	var emitted []string
	err := run(t, g, func(tt *tester.Tester) {
		q := tt.NewQueueTracker("out")
		tt.SetTableValue("users", "k", "Ann")
		tt.Consume("in", "k", click{"u"}, tester.WithHeaders(goka.Headers{"a": []byte("1")}))
		tt.Consume("in", "k", click{"u"})
		for {
			h, key, v, ok := q.NextRawWithHeaders()
			if !ok {
				break
			}
			emitted = append(emitted, fmt.Sprintf("%s=%s %s %v", key, v, h["h"], v == nil))
		}
		if n := tt.TableValue("g-table", "k"); n != int64(2) {
			t.Errorf("the table holds %v", n)
		}
		if n := tt.TableValue("g-table", "other"); n != int64(100) {
			t.Errorf("the loop's key holds %v", n)
		}
	})
	if err != nil {
		t.Error(err)
	}
	if len(records) != 2 || records[0] != `in k {"user":"u"} [{"a" "1"}]` {
		t.Errorf("records %q", records)
	}
	once := []string{`u={"user":"Ann"} v false`, `loop={"user":""}  false`, `loop=  true`}
	if want := append(once, once...); !reflect.DeepEqual(emitted, want) {
		t.Errorf("emitted %q", emitted)
	}
}

func TestWhatStockGokaCannotDoFailsTheCallback(t *testing.T) {
	out := topology.OutputOf("out", schema.String())
	for want, callback := range map[string]func(*processors.Typed[int64]){
		"no stream time":                    func(ctx *processors.Typed[int64]) { ctx.StreamTime() },
		`store "s": stock goka has no`:      func(ctx *processors.Typed[int64]) { ctx.Store("s") },
		"goka cannot set the timestamp":     func(ctx *processors.Typed[int64]) { out.EmitWith(ctx, "k", "v", processors.Emit{Timestamp: 1}) },
		"group g has no table":              func(ctx *processors.Typed[int64]) { ctx.SetValueBytes([]byte("1")) },
		"declare it with topology.PersistO": func(ctx *processors.Typed[int64]) { ctx.Set(1) },
	} {
		g := graphOf(t, "g", out, topology.InputOf("in", schema.String(), nil,
			func(ctx *processors.Typed[int64], _ string) { callback(ctx) }))
		err := run(t, g, func(tt *tester.Tester) { tt.Consume("in", "k", "v") })
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestUntypedCallbacksRunOnStockGokaUnchanged(t *testing.T) {
	g := graphOf(t, "g", topology.Input("in", text, count), topology.Persist(new(codec.Int64)))
	var got any
	err := run(t, g, func(tt *tester.Tester) {
		tt.Consume("in", "k", "a")
		tt.Consume("in", "k", "b")
		got = tt.TableValue("g-table", "k")
	})
	if err != nil || !reflect.DeepEqual(got, int64(2)) {
		t.Errorf("got %v, %v", got, err)
	}
}
