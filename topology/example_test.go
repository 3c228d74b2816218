package topology_test

import (
	"errors"
	"fmt"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/codec"

	"github.com/seed-73111be4/kappa/processors"
	"github.com/seed-73111be4/kappa/schema"
	"github.com/seed-73111be4/kappa/topology"
)

// A goka group moves over as it is: same edges, same codecs, same callbacks.
func Example() {
	count := func(ctx goka.Context, msg any) {
		n, _ := ctx.Value().(int64)
		ctx.SetValue(n + 1)
	}
	plan, err := topology.Group("clicks-per-user",
		topology.Input("clicks", new(codec.String), count),
		topology.Persist(new(codec.Int64)),
	).Build()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(plan.Describe())
	// Output:
	// Group: clicks-per-user
	//   Source: clicks (stream, codec string)
	//     --> clicks-per-user
	//   Processor: clicks-per-user
	//     <-- clicks
	//     Table: clicks-per-user-table (codec int64)
	//   State topic: clicks-per-user-state
	//   On error: fail, start: earliest, tombstones: skip, hasher: fnv1a
	//   Fingerprint: 1-in1-table-cbceb0ea1cf71415
}

// New code needs no casts: codecs carry the types, and edges are the handles that
// a callback emits, reads and writes through.
func Example_typed() {
	type Flight struct {
		Carrier string `json:"carrier"`
		Delay   int64  `json:"delay"`
	}
	type Stats struct {
		Flights int64 `json:"flights"`
		Delayed int64 `json:"delayed"`
	}
	var (
		airlines = topology.LookupOf("airlines", schema.String())
		seen     = topology.StoreOf("seen", schema.Int64())
		alerts   = topology.OutputOf("alerts", schema.String())
	)
	perRoute := func(ctx *processors.Typed[Stats], f Flight) {
		stats, _ := ctx.Value()
		stats.Flights++
		if f.Delay > 60 {
			stats.Delayed++
			name, _ := airlines.Get(ctx, f.Carrier)
			alerts.Emit(ctx, ctx.Key(), name+" is late")
		}
		seen.Set(ctx, f.Carrier, ctx.StreamTime().UnixMilli())
		ctx.Set(stats)
	}

	plan, err := topology.Group("routes",
		topology.InputOf("flights", schema.JSON[Flight](), nil, perRoute),
		topology.PersistOf(schema.JSON[Stats]()),
		airlines, seen, alerts,
		topology.DeadLetter("flights-dead"),
	).Build()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(plan.Describe())
	// Output:
	// Group: routes
	//   Source: flights (stream, codec json[topology_test.Flight])
	//     --> routes
	//   Lookup: airlines (whole table, codec string)
	//     --> routes
	//   Processor: routes
	//     <-- flights, airlines
	//     --> alerts
	//     Table: routes-table (codec json[topology_test.Stats])
	//     Store: seen (codec int64)
	//   Sink: alerts (codec string)
	//     <-- routes
	//   Dead letters: flights-dead
	//     <-- routes
	//   State topic: routes-state
	//   On error: dead-letter, start: earliest, tombstones: skip, hasher: fnv1a
	//   Fingerprint: 1-in1-table-store1-e3c58d633fc932fe
}

// Build returns all mistakes at once, each with a hint.
func ExampleDef_Build() {
	count := func(ctx goka.Context, msg any) {}
	_, err := topology.Group("clicks per user",
		topology.Input("clicks", new(codec.String), count),
		topology.Input("clicks", new(codec.String), nil),
		topology.Visitor("reset", count),
		topology.Output("orders-table", new(codec.String)),
	).Build()
	fmt.Println(err)

	var mistakes topology.Mistakes
	if errors.As(err, &mistakes) {
		fmt.Println(mistakes[0].Hint)
	}
	// Output:
	// the topology has 5 mistakes:
	//   group "clicks per user": the name has the character ' ' (use letters, digits, '.', '_' and '-' only)
	//   group "clicks per user": input "clicks": the callback is nil (pass the function that processes it)
	//   group "clicks per user": input "clicks": there is another input of this name (names are unique: keep one)
	//   group "clicks per user": visitor "reset": the group has no table to visit (add topology.Persist or remove the visitor)
	//   group "clicks per user": output "orders-table": the suffix -table is reserved for the topics of groups (only group "orders" may write there: choose another topic)
	// use letters, digits, '.', '_' and '-' only
}

// Several groups make one diagram: a topic between them is one node.
func ExampleDescriptions_Mermaid() {
	pass := func(ctx goka.Context, msg any) {}
	plans, err := topology.Build(
		topology.Group("parse",
			topology.Input("raw", new(codec.String), pass),
			topology.Output("clicks", new(codec.String))),
		topology.Group("count",
			topology.Input("clicks", new(codec.String), pass),
			topology.Persist(new(codec.Int64))),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(topology.Describe(plans...).Mermaid())
	// Output:
	// flowchart LR
	//   n1["parse"]
	//   n2(["raw"])
	//   n2 --> n1
	//   n3(["clicks"])
	//   n1 --> n3
	//   n4["count"]
	//   n3 --> n4
	//   n5[("count-table")]
	//   n4 <--> n5
}

func ExamplePlan_Describe() {
	plan, err := topology.Group("mirror",
		topology.Input("in", new(codec.Bytes), func(ctx goka.Context, msg any) {
			ctx.Emit("out", ctx.Key(), msg)
		}),
		topology.Output("out", new(codec.Bytes)),
	).Build()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(plan.Describe().JSON())
	// Output:
	// {
	//   "group": "mirror",
	//   "inputs": [
	//     {
	//       "topic": "in",
	//       "kind": "stream",
	//       "codec": "bytes"
	//     }
	//   ],
	//   "outputs": [
	//     {
	//       "topic": "out",
	//       "kind": "output",
	//       "codec": "bytes"
	//     }
	//   ],
	//   "state_topic": "mirror-state",
	//   "on_error": "fail",
	//   "start": "earliest",
	//   "tombstones": "skip",
	//   "hasher": "fnv1a",
	//   "fingerprint": "1-in1-024d1ad779b377f9"
	// }
}

// The same definition runs on stock goka.
func ExampleDef_GroupGraph() {
	def := topology.Group("clicks-per-user",
		topology.InputOf("clicks", schema.String(), nil, func(ctx *processors.Typed[int64], page string) {
			n, _ := ctx.Value()
			ctx.Set(n + 1)
		}),
		topology.PersistOf(schema.Int64()),
	)
	graph, err := def.GroupGraph()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(graph.Group(), graph.InputStreams().Topics(), graph.GroupTable().Topic())
	// Output: clicks-per-user [clicks] clicks-per-user-table
}
