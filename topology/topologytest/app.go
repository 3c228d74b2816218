package topologytest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-73111be4/kappa/topology"
)

// App runs groups over topics in memory. One goroutine owns it.
type App struct {
	tb         testing.TB // nil where there is no test to fail
	ctx        context.Context
	partitions int32
	manual     bool
	now        time.Time
	maxRecord  map[string]int

	topics  *topics
	groups  []*Group
	drained map[string][]int // by topic and partition: records that Output has returned

	err    error // the first error, where it does not fail a test
	trying bool
}

// NewApp returns an App of several groups. What one emits, or keeps in its table,
// another may have as its input, joined table or lookup. Records are processed in the
// order in which they were written, and a transaction writes what it emits before
// the changes of the table: who joins the table sees the older value then. (In
// production the two topics race.) A mistake in a definition fails the test.
func NewApp(tb testing.TB, defs ...*topology.Def) *App {
	tb.Helper()
	a, err := OpenApp(defs, ReportTo(tb))
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

// OpenApp is NewApp with options and for where there is no test. The error is
// topology.Mistakes, or says which option is wrong.
func OpenApp(defs []*topology.Def, opts ...Option) (*App, error) {
	plans, err := topology.Build(defs...)
	if err != nil {
		return nil, err
	}
	a := defaults()
	for _, o := range opts {
		o.set(a)
	}
	if a.partitions < 1 {
		return nil, fmt.Errorf("topologytest: %d partitions: a topic has at least one", a.partitions)
	}
	a.topics = newTopics(a.partitions)
	for _, p := range plans {
		g := &Group{app: a, plan: p, lookups: lookups(a.topics, p)}
		if err := g.restore(); err != nil {
			return nil, err
		}
		a.groups = append(a.groups, g)
	}
	return a, nil
}

// Group returns what a group of the App keeps.
func (a *App) Group(name string) *Group {
	a.helper()
	for _, g := range a.groups {
		if g.plan.Group == name {
			return g
		}
	}
	a.fail(fmt.Errorf("the app has no group %q, it has %s", name, a.names()))
	return &Group{app: a, plan: &topology.Plan{Group: name}}
}

func (a *App) names() string {
	var names []string
	for _, g := range a.groups {
		names = append(names, g.plan.Group)
	}
	return list(names)
}

// Now returns the clock.
func (a *App) Now() time.Time { return a.now }

// AdvanceTime moves the clock, which gives records that are sent and visits their
// timestamps.
func (a *App) AdvanceTime(d time.Duration) { a.now = a.now.Add(d) }

// Err returns the first error. It is of use where there is no test: then an error
// makes every later call do nothing, and this says why.
func (a *App) Err() error { return a.err }

// Try calls fn and returns the first error in it, which then does not fail the
// test. After an error the rest of the calls in fn do nothing.
//
//	err := d.Try(func() { d.Send("clicks", "ann", "not a number") })
func (a *App) Try(fn func()) error {
	was, before := a.trying, a.err
	a.trying, a.err = true, nil
	fn()
	err := a.err
	a.trying, a.err = was, before
	return err
}

// Crash drops all that the groups have in memory, transactions that are not
// committed with it, and restores them from their changelogs. Records that were not
// committed are processed again with the next call; so is one that has stopped a
// group. Name groups to crash only those.
func (a *App) Crash(groups ...string) {
	a.helper()
	for _, name := range groups {
		a.Group(name)
	}
	for _, g := range a.groups {
		if len(groups) > 0 && !slices.Contains(groups, g.plan.Group) {
			continue
		}
		a.do(g.crash)
	}
}

// Commit ends the transactions: what they emitted can be read, and is processed
// where it is the input of a group, in new transactions.
func (a *App) Commit() {
	a.helper()
	a.do(a.commit)
	a.do(a.process)
}

// Abort drops what the transactions have done. Their records are processed again
// with the next call.
func (a *App) Abort() {
	for _, g := range a.groups {
		g.abort()
	}
}

// Process processes what waits in the topics. It is only of use after Abort and
// Crash, for all that sends something processes it, too.
func (a *App) Process() {
	a.helper()
	a.do(a.process)
}

// rounds bounds how often groups may set each other, or themselves, off.
const rounds = 10_000

var errNoEnd = errors.New("the groups do not come to rest: each record sets off another one, through a loop or a circle of topics")

// process steps all groups until nothing waits.
func (a *App) process() error {
	for range rounds {
		some := false
		for _, g := range a.groups {
			n, err := g.process()
			if err != nil {
				return err
			}
			some = some || n > 0
		}
		if !some {
			return nil
		}
	}
	return errNoEnd
}

func (a *App) commit() error {
	for _, g := range a.groups {
		if err := g.commit(); err != nil {
			return err
		}
	}
	return nil
}

// do calls fn unless there was an error that nobody has seen to.
func (a *App) do(fn func() error) {
	a.helper()
	if a.err == nil {
		if err := fn(); err != nil {
			a.fail(err)
		}
	}
}

func (a *App) fail(err error) {
	a.helper()
	if a.tb != nil && !a.trying {
		a.tb.Fatal(err)
	}
	if a.err == nil {
		a.err = err
	}
}

func (a *App) helper() {
	if a.tb != nil {
		a.tb.Helper()
	}
}

// list names things for an error text.
func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", ")
}
