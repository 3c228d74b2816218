package processors_test

import (
	"fmt"

	"github.com/lovoo/goka"

	"github.com/seed-73111be4/kappa/processors"
	"github.com/seed-73111be4/kappa/schema"
)

// A callback of topology.InputOf gets its state typed.
func ExampleTyped() {
	count := func(ctx *processors.Typed[int64], page string) {
		n, _ := ctx.Value() // zero where the key has no value yet
		ctx.Set(n + 1)
		fmt.Println(ctx.Key(), page, n+1)
	}

	ctx := processors.NewTyped(schema.Int64()).Bind(new(fake)) // kappa does this
	count(ctx, "/home")
	count(ctx, "/cart")
	// Output:
	// k /home 1
	// k /cart 2
}

// In a goka callback, FromContext gives what goka's context has no word for.
func ExampleFromContext() {
	callback := func(ctx goka.Context, msg any) {
		k := processors.FromContext(ctx)
		fmt.Println(ctx.Key(), msg, k.StreamTime().UnixMilli())
	}

	callback(new(fake), "hello") // kappa does this
	// Output: k hello 5
}

func ExampleEmitHeaders() {
	h := processors.EmitHeaders(
		goka.WithCtxEmitHeaders(goka.Headers{"trace": []byte("1")}),
		goka.WithCtxEmitHeaders(goka.Headers{"trace": []byte("2")}),
	)
	fmt.Printf("%s\n", h["trace"])
	// Output: 2
}
