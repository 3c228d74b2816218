package chaos

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed-73111be4/kappa/internal/testenv"
)

// instance is one member of the group over all lives of its process. Its methods
// are safe for concurrent use; faults of one instance wait for each other.
type instance struct {
	tb   testing.TB
	run  childRun
	name string
	log  string // file, of all lives

	turn sync.Mutex // held while a fault is played

	mu       sync.Mutex // guards what follows
	process  *testenv.Process
	addr     string
	life     int
	begun    time.Time // when the process was started
	frozen   bool
	expected bool // the process has been told to end
	last     figures
	sum      figures // counters of earlier lives
	deaths   []string
}

// newInstance returns an instance with its state in dir and its log in logs.
func newInstance(tb testing.TB, run childRun, dir, logs string, id int) *instance {
	i := &instance{tb: tb, run: run, name: fmt.Sprintf("i%d", id)}
	i.run.Instance, i.run.Dir = i.name, filepath.Join(dir, i.name)
	i.log = filepath.Join(logs, i.name+".log")
	return i
}

// start starts the process. The parent opens the listener, so that no other takes
// its port.
func (i *instance) start() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		return err
	}
	defer file.Close()
	cmd, err := testenv.Self(childVariable, i.run)
	if err != nil {
		return err
	}
	out, err := os.OpenFile(i.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = out, out, []*os.File{file}
	p, err := testenv.Start(i.tb, cmd)
	if err != nil {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.process, i.addr, i.frozen, i.expected = p, l.Addr().String(), false, false
	i.life++
	i.begun = time.Now()
	i.last = figures{life: i.life}
	return nil
}

// ended books what a process has done that has ended, and whether it was to.
func (i *instance) ended(p *testenv.Process) {
	<-p.Done()
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.process != p {
		return
	}
	i.process = nil
	i.sum = i.sum.plus(&i.last)
	i.last = figures{life: i.life}
	if !i.expected {
		i.deaths = append(i.deaths, fmt.Sprintf("%s ended by itself with %d:\n%s", i.name, p.ExitCode(), i.said(30)))
	}
}

// said returns the last lines of the log.
func (i *instance) said(lines int) string {
	text, err := os.ReadFile(i.log)
	if err != nil {
		return err.Error()
	}
	return testenv.Tail(string(text), lines)
}

// plus adds counters.
func (f figures) plus(o *figures) figures {
	sum := figures{
		commits: f.commits + o.commits, records: f.records + o.records, aborts: map[string]int64{}, rebuilds: f.rebuilds + o.rebuilds,
		restores: f.restores + o.restores, replayed: f.replayed + o.replayed, wipes: f.wipes + o.wipes,
	}
	for _, m := range []map[string]int64{f.aborts, o.aborts} {
		for cause, n := range m {
			sum.aborts[cause] += n
		}
	}
	return sum
}

var generation = regexp.MustCompile(`msg=assigned .*generation=(\d+)`)

// newest is the newest generation of the group that the instance was assigned
// tasks in.
func (i *instance) newest() (newest int) {
	text, _ := os.ReadFile(i.log) // none: it never started
	for _, m := range generation.FindAllSubmatch(text, -1) {
		n, _ := strconv.Atoi(string(m[1]))
		newest = max(newest, n)
	}
	return newest
}

// age is how long the process has lived.
func (i *instance) age() time.Duration {
	i.mu.Lock()
	defer i.mu.Unlock()
	return time.Since(i.begun)
}

// commits reports whether the process was seen to have committed.
func (i *instance) commits() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.last.commits > 0
}

// diedByItself reports whether there is no process though there should be.
func (i *instance) diedByItself() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.life > 0 && i.process == nil && !i.expected
}

// current is the process, nil where there is none.
func (i *instance) current() *testenv.Process {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.process
}

// kill ends the process as kill -9 does.
func (i *instance) kill() error {
	p := i.expect()
	if p == nil {
		return nil // it has ended by itself, which is noted
	}
	err := p.Kill()
	i.ended(p)
	return err
}

// expect notes that the process is to end.
func (i *instance) expect() *testenv.Process {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.expected = true
	return i.process
}

// end asks the process to end: SIGTERM, or SIGINT to leave. It must.
func (i *instance) end(s os.Signal) error {
	p := i.expect()
	if p == nil {
		return nil
	}
	if err := p.Signal(s); err != nil {
		return fmt.Errorf("%s: %w", i.name, err)
	}
	select {
	case <-p.Done():
	case <-time.After(patience):
		return fmt.Errorf("%s does not end after %v", i.name, s)
	}
	i.ended(p)
	// A process that has only just begun dies of the signal, as by a kill.
	if code := p.ExitCode(); code != 0 && !p.EndedBy(s) {
		return fmt.Errorf("%s ended with %d after %v:\n%s", i.name, code, s, i.said(30))
	}
	return nil
}

// freeze stops the process, which does not know it, and lets it go on.
func (i *instance) freeze(lasts time.Duration, quit <-chan struct{}) error {
	p := i.current()
	if p == nil {
		return nil
	}
	i.setFrozen(true)
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return fmt.Errorf("%s: %w", i.name, err)
	}
	select {
	case <-time.After(lasts):
	case <-quit:
	}
	defer i.setFrozen(false)
	if err := p.Signal(syscall.SIGCONT); err != nil {
		return fmt.Errorf("%s: %w", i.name, err)
	}
	return nil
}

func (i *instance) setFrozen(f bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.frozen = f
}

// look reads the metrics; false where the process does not answer. What it shows
// is of the same life as before is returned, too.
func (i *instance) look() (before, now figures, ok bool) {
	i.mu.Lock()
	p, addr, life, frozen := i.process, i.addr, i.life, i.frozen
	i.mu.Unlock()
	if p == nil {
		return before, now, false
	}
	if !p.Running() {
		i.ended(p)
		return before, now, false
	}
	if frozen {
		return before, now, false
	}
	now, err := scrape(addr)
	if err != nil {
		return before, now, false
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.life != life || i.process == nil {
		return before, now, false
	}
	now.life = life
	before, i.last = i.last, now
	return before, now, true
}

// total returns the counters of all lives, as of the last look at each.
func (i *instance) total() figures {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.sum.plus(&i.last)
}
