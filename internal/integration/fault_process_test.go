package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/internal/testenv"
)

// programs are the examples, each built once for the tests that use it at a time.
var programs = struct {
	sync.Mutex
	built map[string]*built
}{built: map[string]*built{}}

type built struct {
	path  string
	users int
}

// program builds an example and returns where it is, until the test ends.
func program(t testing.TB, name string) string {
	t.Helper()
	programs.Lock()
	defer programs.Unlock()
	b := programs.built[name]
	if b == nil {
		dir, err := os.MkdirTemp("", "kappa-integration-")
		if err != nil {
			t.Fatal(err)
		}
		b = &built{path: filepath.Join(dir, name)}
		if out, err := exec.Command("go", "build", "-o", b.path, "../../examples/"+name).CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", name, err, out)
		}
		programs.built[name] = b
	}
	b.users++
	t.Cleanup(func() {
		programs.Lock()
		defer programs.Unlock()
		if b.users--; b.users == 0 {
			delete(programs.built, name)
			if err := os.RemoveAll(filepath.Dir(b.path)); err != nil {
				t.Error(err)
			}
		}
	})
	return b.path
}

// process is a program that a test has started.
type process struct {
	*testenv.Process
	t testing.TB
}

func (r *rig) process(name string, args ...string) *process {
	r.t.Helper()
	return r.spawn(exec.Command(program(r.t, name), args...))
}

func (r *rig) spawn(cmd *exec.Cmd) *process {
	r.t.Helper()
	p, err := testenv.Start(r.t, cmd)
	if err != nil {
		r.t.Fatal(err)
	}
	return &process{p, r.t}
}

// count starts the example count.
func (r *rig) count(in, group, dir string, more ...string) *process {
	r.t.Helper()
	return r.process("count", append([]string{"run", "--brokers", r.env.Bootstrap(), "--input", in, "--group", group, "--state-dir", dir, "--session-timeout", "6s"}, more...)...)
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// exits waits until the process has ended, and returns its exit code: -1 for a
// signal.
func (p *process) exits(within time.Duration) int {
	p.t.Helper()
	select {
	case <-p.Done():
		return p.ExitCode()
	case <-time.After(within):
		p.t.Fatalf("the process has not ended after %v", within)
		return 0
	}
}

// kill ends the process as kill -9 does.
func (p *process) kill() {
	p.t.Helper()
	if err := p.Kill(); err != nil {
		p.t.Fatal(err)
	}
}

// loaded feeds a topic until the returned function is called, which tells how many
// records were written.
func (r *rig) loaded(topic string, keys int) (stop func() int) {
	r.t.Helper()
	e, err := r.k.NewEmitter(kafka.EmitterConfig{})
	if err != nil {
		r.t.Fatal(err)
	}
	quit, done, n := make(chan struct{}), make(chan error, 1), 0
	go func() {
		defer e.Close()
		for {
			select {
			case <-quit:
				done <- e.Flush(r.ctx)
				return
			default:
			}
			for _, x := range sent(topic, n, 100, keys) {
				x.Timestamp = 1_700_000_000_000
				if err := e.Emit(r.ctx, x); err != nil {
					done <- err
					return
				}
			}
			n += 100
			if err := e.Flush(r.ctx); err != nil {
				done <- err
				return
			}
		}
	}()
	return func() int {
		r.t.Helper()
		close(quit)
		if err := <-done; err != nil {
			r.t.Fatal(err)
		}
		return n
	}
}

// A signal lets what is open commit: within two seconds, under load. A restart
// replays next to nothing, and the result is exact.
func TestASignalDrainsUnderLoad(t *testing.T) {
	on(t, func(r *rig) {
		in, group, dir := r.topic("in", 4), r.name("g"), r.t.TempDir()
		stop := r.loaded(in, 1000)
		for range 3 {
			from := r.counted(group)
			p := r.count(in, group, dir)
			r.until("a commit under load", func() bool { n := r.counted(group); return n > from && n > r.written(in)/2 || !p.Running() })
			begun := time.Now()
			p.signal(syscall.SIGTERM)
			if code := p.exits(10 * time.Second); code != 0 {
				r.t.Errorf("exit code %d after SIGTERM", code)
			}
			if d := time.Since(begun); d > 2*time.Second {
				r.t.Errorf("the process took %v to end", d)
			}
			if strings.Contains(p.Output(), "stopped with work open") {
				r.t.Error("the drain did not come to its end")
			}
		}
		n := stop()
		before := r.written(group + "-table")
		o := r.fast(dir)
		o.App = "count"
		e := r.start(o, counting(group, in))
		r.ready(e)
		if replayed := stats(e, group).ReplayedRecords; replayed > 0 {
			r.t.Errorf("%d of %d records were replayed after a clean end", replayed, before)
		}
		r.processed(int64(n), group, e)
		r.stop(e)
		r.equal("table", r.table(group+"-table"), countsOf(n, 1000))
	})
}

// counted sums the counts in a group's table, 0 where there is none yet.
func (r *rig) counted(group string) int64 {
	r.t.Helper()
	topics, err := r.k.Topics(r.ctx, group+"-table")
	if err != nil || len(topics) == 0 {
		return 0
	}
	var sum int64
	for _, v := range r.table(group + "-table") {
		var n int64
		fmt.Sscan(v, &n)
		sum += n
	}
	return sum
}

// The second signal ends a process at once, whatever it waits for.
func TestASecondSignalEndsTheProcessAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, testenv.Fake(t))
	in, group := r.topic("in", 4), r.name("g")
	r.emit(numbers(in, 100, 10)...)
	p := r.count(in, group, t.TempDir())
	r.until("all records to be counted", func() bool { return r.counted(group) == 100 || !p.Running() })
	r.env.Stop(1) // nothing can be committed now, or left
	p.signal(syscall.SIGTERM)
	select {
	case <-p.Done():
		t.Fatal("the process has ended after one signal: there was nothing left to test")
	case <-time.After(300 * time.Millisecond):
	}
	begun := time.Now()
	p.signal(syscall.SIGTERM)
	code := p.exits(10 * time.Second)
	if d := time.Since(begun); d > 500*time.Millisecond || code == 0 {
		t.Errorf("after the second signal it took %v; exit code %d", d, code)
	}
}

func TestAStateDirectoryInUseIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, testenv.Fake(t))
	in, group, o := r.topic("in", 1), r.name("g"), r.fast(t.TempDir())
	o.App = "count"
	r.emit(numbers(in, 10, 3)...)
	e := r.start(o, counting(group, in))
	r.processed(10, group, e)
	p := r.count(in, group, o.StateDir)
	if code := p.exits(20 * time.Second); code != 1 {
		t.Errorf("exit code %d", code)
	}
	says(t, fmt.Errorf("%s", p.Output()), "state directory "+o.StateDir,
		fmt.Sprintf("is in use by process %d; stop it or choose another directory", os.Getpid()))
	r.emit(numbers(in, 10, 3)...)
	r.processed(20, group, e) // the first is not disturbed
}

// Of two processes with the same instance id the older is fenced, is told so, and
// ends; nothing is lost or counted twice.
func TestOfTwoProcessesWithTheSameInstanceOneIsFenced(t *testing.T) {
	on(t, func(r *rig) {
		in, group := r.topic("in", 4), r.name("g")
		stop := r.loaded(in, 100)
		old := r.count(in, group, r.t.TempDir(), "--instance", "twin")
		r.until("a commit", func() bool { return r.counted(group) > 0 || !old.Running() })
		o := r.fast(r.t.TempDir())
		o.Instance = "twin"
		e := r.start(o, counting(group, in))
		if code := old.exits(30 * time.Second); code != 1 {
			r.t.Errorf("the older process ended with %d", code)
		}
		says(r.t, fmt.Errorf("%s", old.Output()), `instance "twin" of group "`+group+`" is in use by another process`,
			"give each process an instance id or a state directory of its own")
		n := stop()
		r.until("all records to be counted", func() bool { return r.counted(group) >= int64(n) })
		r.stop(e)
		r.equal("table", r.table(group+"-table"), countsOf(n, 100))
	})
}
