// Clicks counts the clicks of each user, exactly once. It is the example
// goka-clicks on kappa: other imports, the same callback.
package main

import (
	"github.com/lovoo/goka"
	"github.com/lovoo/goka/codec"

	"github.com/seed-73111be4/kappa"
	"github.com/seed-73111be4/kappa/topology"
)

func countClick(ctx goka.Context, msg any) {
	n, _ := ctx.Value().(int64)
	ctx.SetValue(n + 1)
}

var clicksPerUser = topology.Group("clicks-per-user",
	topology.Input("clicks", new(codec.String), countClick),
	topology.Persist(new(codec.Int64)),
)

func main() {
	kappa.Main(kappa.App{
		Name:   "clicks",
		Short:  "Count clicks per user",
		Groups: []*topology.Def{clicksPerUser},
	})
}
