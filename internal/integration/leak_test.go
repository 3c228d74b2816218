package integration

import (
	"runtime"
	"strings"
	"testing"

	"github.com/seed-73111be4/kappa/internal/testenv"
)

// Not parallel: it looks at all goroutines of the process.
func TestNoGoroutineOutlivesAnEngine(t *testing.T) {
	c := testenv.Fake(t)
	for name, end := range map[string]func(*rig, interface{ Kill() }, func()){
		"stop": func(_ *rig, _ interface{ Kill() }, stop func()) { stop() },
		"kill": func(_ *rig, e interface{ Kill() }, _ func()) { e.Kill() },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, c)
			in, group := r.topic("in", 4), r.name("count")
			r.emit(numbers(in, 500, 20)...)
			e := r.start(r.fast(t.TempDir()), counting(group, in))
			r.processed(500, group, e)
			end(r, e, func() { r.stop(e) })
			r.until("the goroutines to end", func() bool { return len(ours()) == 0 })
		})
	}
}

// ours are the stacks of goroutines that run kappa's engine, member or stores.
func ours() []string {
	buf := make([]byte, 4<<20)
	var out []string
	for _, g := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		for _, room := range []string{"kappa/internal/engine.", "kappa/internal/kafka.(*Member)", "kappa/internal/kafka.(*Fetcher)", "kappa/state/"} {
			if strings.Contains(g, room) {
				out = append(out, g)
				break
			}
		}
	}
	return out
}
