package topologytest

import (
	"testing"

	"github.com/seed-73111be4/kappa/topology"
)

// Driver runs one group: it is an [App] of one group and that [Group].
type Driver struct {
	*App
	*Group
}

// New returns a driver of a group. A mistake in the definition fails the test.
func New(tb testing.TB, def *topology.Def, opts ...Option) *Driver {
	tb.Helper()
	d, err := Open(def, append([]Option{ReportTo(tb)}, opts...)...)
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

// Open is New for where there is no test. The error is topology.Mistakes, or says
// which option is wrong.
func Open(def *topology.Def, opts ...Option) (*Driver, error) {
	a, err := OpenApp([]*topology.Def{def}, opts...)
	if err != nil {
		return nil, err
	}
	return &Driver{a, a.groups[0]}, nil
}
