package task_test

import (
	"errors"
	"testing"

	"github.com/lovoo/goka"

	"github.com/seed-73111be4/kappa/topology"
)

// muted is a task that is silent for the first two records of its input.
func muted(t *testing.T, edges ...topology.Edge) *rig {
	r := newRig(t, edges...)
	r.mute = map[string]int64{"in": 2}
	r.restore()
	return r
}

func TestAMutedRecordReachesTheTableAndNoOutput(t *testing.T) {
	r := muted(t, topology.Persist(str), topology.Output("out", str), input(func(ctx goka.Context, msg any) {
		ctx.SetValue(msg)
		ctx.Emit("out", ctx.Key(), msg)
	}))
	for i, want := range []string{"", "", "out \"k\"=\"2\" @1003\n"} {
		fx, err := r.task.Step("in", r.input("in", "k", string(rune('0'+i))))
		if err != nil {
			t.Fatal(err)
		}
		same(t, "emits", show(fx.Emits), want)
		same(t, "muted", fx.Muted, map[bool]int{true: 1, false: 0}[i < 2])
		same(t, "table", r.value("k"), string(rune('0'+i)))
	}
}

// What a muted record loops back is processed in silence, too, and its mark is not the
// callbacks' to see.
func TestWhatAMutedRecordLoopsBackStaysMuted(t *testing.T) {
	var seen []goka.Headers
	r := muted(t, topology.Output("out", str),
		topology.Loop(str, func(ctx goka.Context, msg any) {
			seen = append(seen, ctx.Headers())
			ctx.Emit("out", ctx.Key(), msg)
			if msg == "again" {
				ctx.Loopback("third", "end", goka.WithCtxEmitHeaders(ctx.Headers()))
			}
		}),
		input(func(ctx goka.Context, msg any) { ctx.Loopback("other", msg) }))
	outs := r.step("in", "k", "again")
	same(t, "emits", show(outs), "g-loop \"other\"=\"again\" kappa-muted:1 @1001\n")
	outs = r.step("g-loop", "other", "again", outs[0].Headers...)
	same(t, "emits", show(outs), "g-loop \"third\"=\"end\" kappa-muted:1 @1002\n")
	same(t, "emits", show(r.step("g-loop", "third", "end", outs[0].Headers...)), "")
	same(t, "headers", seen, []goka.Headers{{}, {}})
	r.step("in", "k", "v")
	outs = r.step("in", "k", "v")
	same(t, "emits", show(outs), "g-loop \"other\"=\"v\" @1005\n")
	same(t, "emits", show(r.step("g-loop", "other", "v")), "out \"other\"=\"v\" @1006\n")
}

func TestDeadLettersAreWrittenWhileOutputsAreMuted(t *testing.T) {
	r := muted(t, topology.DeadLetter("dead"), topology.Output("out", str), input(func(ctx goka.Context, msg any) {
		ctx.Emit("out", ctx.Key(), msg)
		ctx.Fail(errors.New("no"))
	}))
	fx, err := r.task.Step("in", r.input("in", "k", "v"))
	if err != nil || len(fx.Emits) != 1 || fx.Emits[0].Topic != "dead" || fx.Muted != 0 {
		t.Errorf("%v, %+v", err, fx)
	}
}

// The same records are muted after a crash in their midst: it hangs on offsets alone.
func TestACrashDoesNotEndTheSilence(t *testing.T) {
	r := muted(t, topology.Persist(str), topology.Output("out", str), input(func(ctx goka.Context, msg any) {
		ctx.SetValue(msg)
		ctx.Emit("out", ctx.Key(), msg)
	}))
	same(t, "emits", show(r.step("in", "k", "1")), "")
	r.commit()
	r.restore()
	same(t, "emits", show(r.step("in", "k", "2")), "")
	r.commit()
	r.restore()
	if outs := r.step("in", "k", "3"); len(outs) != 1 {
		t.Errorf("emits %s", show(outs))
	}
}
