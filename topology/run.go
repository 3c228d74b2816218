package topology

import (
	"github.com/lovoo/goka"

	"github.com/seed-73111be4/kappa/processors"
)

// handlers makes the plan's NewHandler of an input or loop edge.
func (e edge) handlers(state any) func() Handler {
	if e.typed != nil {
		return e.typed.handlers(e.stateFor(state))
	}
	return handlers(e.codec, e.callback)
}

// visitor makes the callback of a visitor edge.
func (e edge) visitor(state any) goka.ProcessCallback {
	if e.typed == nil {
		return e.callback
	}
	return func(ctx goka.Context, meta any) {
		e.typed.call(state, processors.FromContext(ctx), meta)
	}
}

// stateFor returns the edge's own state codec, else the group's.
func (e edge) stateFor(group any) any {
	if e.state.codec != nil {
		return e.state.codec
	}
	return group
}
