package topologytest_test

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/codec"

	"github.com/seed-73111be4/kappa/processors"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/schema"
	"github.com/seed-73111be4/kappa/topology"
	"github.com/seed-73111be4/kappa/topology/topologytest"
)

// In a test this is topologytest.New(t, def), and what goes wrong fails the test.
func open(def *topology.Def, opts ...topologytest.Option) *topologytest.Driver {
	d, err := topologytest.Open(def, opts...)
	if err != nil {
		fmt.Println(err)
	}
	return d
}

// A group with a table: the running count of each key. The callback is goka's.
func Example() {
	counter := topology.Group("counter",
		topology.Input("clicks", new(codec.String), func(ctx goka.Context, msg any) {
			n, _ := ctx.Value().(int64)
			ctx.SetValue(n + 1)
		}),
		topology.Persist(new(codec.Int64)),
	)

	d := open(counter)
	d.Send("clicks", "ann", "/home")
	d.Send("clicks", "bob", "/home")
	d.Send("clicks", "ann", "/cart")

	for _, key := range d.Keys() {
		fmt.Println(key, d.Table(key))
	}
	fmt.Println(d.Table("eve"), d.Err())
	// Output:
	// ann 2
	// bob 1
	// <nil> <nil>
}

// The same without casts: messages and state have types.
func Example_typed() {
	type Account struct {
		Balance  int64
		Bookings int
	}
	group := topology.Group("accounts",
		topology.InputOf("bookings", schema.Int64(), nil, func(ctx *processors.Typed[Account], amount int64) {
			a, _ := ctx.Value()
			a.Balance += amount
			a.Bookings++
			ctx.Set(a)
		}),
		topology.PersistOf(schema.JSON[Account]()),
	)

	d := open(group)
	d.Send("bookings", "ann", int64(100))
	d.Send("bookings", "ann", int64(-30))
	fmt.Printf("%+v\n", d.Table("ann"))
	// Output:
	// {Balance:70 Bookings:2}
}

// What a group emits is read with Output, which drains.
func ExampleApp_Output() {
	group := topology.Group("shout",
		topology.Input("words", new(codec.String), func(ctx goka.Context, msg any) {
			ctx.Emit("loud", ctx.Key(), strings.ToUpper(msg.(string)))
		}),
		topology.Output("loud", new(codec.String)),
	)

	d := open(group)
	d.Send("words", "a", "hello")
	d.Send("words", "b", "world")
	for _, m := range d.Output("loud") {
		fmt.Println(m.Key, m.Value)
	}
	fmt.Println(len(d.Output("loud")))
	// Output:
	// a HELLO
	// b WORLD
	// 0
}

// A joined table is partitioned as the input is: a callback sees the value of its
// own key.
func Example_join() {
	group := topology.Group("orders",
		topology.Input("orders", new(codec.String), func(ctx goka.Context, msg any) {
			city, found := ctx.Join("customers").(string)
			if !found {
				city = "somewhere"
			}
			ctx.Emit("labels", ctx.Key(), fmt.Sprintf("%s to %s", msg, city))
		}),
		topology.Join("customers", new(codec.String)),
		topology.Output("labels", new(codec.String)),
	)

	d := open(group)
	d.SetTable("customers", "ann", "Oslo")
	d.Send("orders", "ann", "2 books")
	d.Send("orders", "bob", "1 lamp")
	d.SetTable("customers", "ann", nil)
	d.Send("orders", "ann", "1 cup")
	for _, m := range d.Output("labels") {
		fmt.Println(m.Value)
	}
	// Output:
	// 2 books to Oslo
	// 1 lamp to somewhere
	// 1 cup to somewhere
}

// A table that is looked up is there as a whole: a callback sees any key's value.
func Example_lookup() {
	airlines := topology.LookupOf("airlines", schema.String())
	group := topology.Group("flights",
		topology.InputOf("flights", schema.String(), nil, func(ctx *processors.Typed[string], carrier string) {
			name, found := airlines.Get(ctx, carrier)
			if !found {
				name = "unknown"
			}
			ctx.Set(name)
		}),
		topology.PersistOf(schema.String()),
		airlines,
	)

	d := open(group, topologytest.Partitions(4))
	d.SetTable("airlines", "UA", "United Air Lines Inc.")
	d.Send("flights", "UA-1545", "UA")
	d.Send("flights", "XX-1", "XX")
	fmt.Println(d.Table("UA-1545"))
	fmt.Println(d.Table("XX-1"))
	// Output:
	// United Air Lines Inc.
	// unknown
}

// The loop carries messages to other keys of the group. They are processed before
// Send returns.
func Example_loop() {
	group := topology.Group("followers",
		topology.Input("follows", new(codec.String), func(ctx goka.Context, whom any) {
			ctx.Loopback(whom.(string), ctx.Key())
		}),
		topology.Loop(new(codec.String), func(ctx goka.Context, by any) {
			n, _ := ctx.Value().(int64)
			ctx.SetValue(n + 1)
		}),
		topology.Persist(new(codec.Int64)),
	)

	d := open(group, topologytest.Partitions(3))
	d.Send("follows", "ann", "eve")
	d.Send("follows", "bob", "eve")
	fmt.Println("eve has", d.Table("eve"), "followers")
	fmt.Println(d.Counts().Sum(), "records")
	// Output:
	// eve has 2 followers
	// 4 records
}

// With a DeadLetter edge a record that cannot be processed is set aside, and nothing
// else of it takes effect.
func ExampleApp_DeadLetters() {
	group := topology.Group("payments",
		topology.Input("payments", new(codec.Int64), func(ctx goka.Context, msg any) {
			ctx.Emit("receipts", ctx.Key(), msg)
			ctx.SetValue(msg)
			if msg.(int64) < 0 {
				ctx.Fail(errors.New("the amount is negative"))
			}
		}),
		topology.Persist(new(codec.Int64)),
		topology.Output("receipts", new(codec.Int64)),
		topology.DeadLetter("bad-payments"),
	)

	d := open(group)
	d.Send("payments", "ann", int64(-5))
	for _, l := range d.DeadLetters() {
		fmt.Printf("%s@%d %s: %s\n", l.Record.Topic, l.Record.Offset, l.Record.Key, l.Error)
	}
	fmt.Println(d.Table("ann"), len(d.Output("receipts")))
	// Output:
	// payments@0 ann: the amount is negative
	// <nil> 0
}

// Without one the record stops the group: nothing is ever skipped.
func ExampleApp_Try() {
	group := topology.Group("payments",
		topology.Input("payments", new(codec.Int64), func(ctx goka.Context, msg any) {
			if msg.(int64) < 0 {
				ctx.Fail(errors.New("the amount is negative"))
			}
		}),
	)

	d := open(group)
	err := d.Try(func() { d.Send("payments", "ann", int64(-5)) })
	fmt.Println(err)
	// Output:
	// group payments: payments/0 offset 0 key "ann": the amount is negative
}

// A visitor is a callback that can be run over all keys of the table.
func ExampleGroup_Visit() {
	group := topology.Group("points",
		topology.Input("points", new(codec.Int64), func(ctx goka.Context, msg any) {
			n, _ := ctx.Value().(int64)
			ctx.SetValue(n + msg.(int64))
		}),
		topology.Persist(new(codec.Int64)),
		topology.Visitor("bonus", func(ctx goka.Context, meta any) {
			ctx.SetValue(ctx.Value().(int64) + meta.(int64))
		}),
	)

	d := open(group)
	d.Send("points", "ann", int64(1))
	d.Send("points", "bob", int64(2))
	fmt.Println(d.Visit("bonus", int64(10)), "visited")
	fmt.Println(d.Table("ann"), d.Table("bob"))
	// Output:
	// 2 visited
	// 11 12
}

// A named store is more state beside the table, with keys of its own.
func ExampleGroup_Store() {
	visits := topology.StoreOf("visits", schema.Int64())
	group := topology.Group("pages",
		topology.InputOf("clicks", schema.String(), nil, func(ctx *processors.Typed[struct{}], page string) {
			key := ctx.Key() + " " + page
			n, _ := visits.Get(ctx, key)
			visits.Set(ctx, key, n+1)

			pages := 0
			visits.Scan(ctx, ctx.Key()+" ", func(string, int64) bool {
				pages++
				return true
			})
			fmt.Printf("%s has seen %d pages, %s %d times\n", ctx.Key(), pages, page, n+1)
		}),
		visits,
	)

	d := open(group)
	d.Send("clicks", "ann", "/home")
	d.Send("clicks", "ann", "/cart")
	d.Send("clicks", "ann", "/home")
	fmt.Println(d.Store("visits", "ann /home"))
	// Output:
	// ann has seen 1 pages, /home 1 times
	// ann has seen 2 pages, /cart 1 times
	// ann has seen 2 pages, /home 2 times
	// 2
}

// Headers come in with Headers and go out with goka.WithCtxEmitHeaders. What is
// emitted has the timestamp of the record that caused it.
func ExampleHeader() {
	group := topology.Group("trace",
		topology.Input("requests", new(codec.String), func(ctx goka.Context, msg any) {
			ctx.Emit("answers", ctx.Key(), "ok", goka.WithCtxEmitHeaders(goka.Headers{
				"trace": ctx.Headers()["trace"],
			}))
		}),
		topology.Output("answers", new(codec.String)),
	)

	d := open(group)
	d.Send("requests", "ann", "hello",
		topologytest.Header("trace", "af31"),
		topologytest.At(time.Date(2013, 1, 1, 5, 17, 0, 0, time.UTC)))
	for _, m := range d.Output("answers") {
		fmt.Printf("%v %s %s\n", m.Value, m.Headers["trace"], m.Timestamp.Format(time.DateTime))
	}
	// Output:
	// ok af31 2013-01-01 05:17:00
}

// AdvanceTime moves the clock that gives records their timestamps. A callback knows
// the time of its record and the stream time, the largest that its task has seen.
func ExampleApp_AdvanceTime() {
	group := topology.Group("times",
		topology.Input("ticks", new(codec.String), func(ctx goka.Context, msg any) {
			stream := processors.FromContext(ctx).StreamTime()
			fmt.Println(msg, "is late by", stream.Sub(ctx.Timestamp()))
		}),
	)

	d := open(group)
	first := d.Now()
	d.AdvanceTime(90 * time.Second)
	d.Send("ticks", "a", "the second")
	d.Send("ticks", "a", "the first", topologytest.At(first))
	// Output:
	// the second is late by 0s
	// the first is late by 1m30s
}

// A crash loses what is in memory; the group is restored from its changelog. What
// was not committed is processed again.
func ExampleApp_Crash() {
	counter := topology.Group("counter",
		topology.Input("clicks", new(codec.String), func(ctx goka.Context, msg any) {
			n, _ := ctx.Value().(int64)
			ctx.SetValue(n + 1)
			ctx.Emit("counts", ctx.Key(), n+1)
		}),
		topology.Persist(new(codec.Int64)),
		topology.Output("counts", new(codec.Int64)),
	)

	d := open(counter, topologytest.ManualCommit())
	d.Send("clicks", "ann", "/home")
	d.Commit()
	d.Send("clicks", "ann", "/cart")
	fmt.Println("before:", d.Table("ann"))
	d.Crash()
	fmt.Println("after: ", d.Table("ann"))
	d.Process()
	d.Commit()
	fmt.Println("again: ", d.Table("ann"))
	for _, m := range d.Output("counts") {
		fmt.Println("emitted", m.Value)
	}
	// Output:
	// before: 2
	// after:  1
	// again:  2
	// emitted 1
	// emitted 2
}

// Of a transaction the changelog has the last value of each key, and the positions.
func ExampleGroup_Changelog() {
	counter := topology.Group("counter",
		topology.Input("clicks", new(codec.String), func(ctx goka.Context, msg any) {
			n, _ := ctx.Value().(int64)
			ctx.SetValue(n + 1)
		}),
		topology.Persist(new(codec.Int64)),
	)

	d := open(counter, topologytest.ManualCommit())
	for range 1000 {
		d.Send("clicks", "ann", "/home")
	}
	d.Commit()
	for _, r := range d.Changelog() {
		if r.Topic == "counter-table" {
			fmt.Printf("%s %s\n", r.Key, r.Value)
		} else {
			fmt.Println(r.Topic)
		}
	}
	// Output:
	// ann 1000
	// counter-state
}

// Several groups in a chain: what one emits is the input of the other.
func ExampleOpenApp() {
	clean := topology.Group("clean",
		topology.Input("raw", new(codec.String), func(ctx goka.Context, msg any) {
			if word := strings.TrimSpace(msg.(string)); word != "" {
				ctx.Emit("words", word, "")
				return
			}
			processors.FromContext(ctx).Count(record.Filtered)
		}),
		topology.Output("words", new(codec.String)),
	)
	count := topology.Group("count",
		topology.Input("words", new(codec.String), func(ctx goka.Context, msg any) {
			n, _ := ctx.Value().(int64)
			ctx.SetValue(n + 1)
		}),
		topology.Persist(new(codec.Int64)),
	)

	app, err := topologytest.OpenApp([]*topology.Def{clean, count}, topologytest.Partitions(2))
	if err != nil {
		fmt.Println(err)
		return
	}
	app.Send("raw", "1", " kappa ")
	app.Send("raw", "2", "  ")
	app.Send("raw", "3", "kappa")
	fmt.Println("kappa:", app.Group("count").Table("kappa"))
	fmt.Println("clean:", app.Group("clean").Counts())
	// Output:
	// kappa: 2
	// clean: [2 1 0 0 0]
}
