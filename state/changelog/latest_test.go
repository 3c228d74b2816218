package changelog_test

import (
	"testing"

	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/state/changelog"
)

// The positions that were committed last are found behind any number of other changes,
// and none where nothing has been committed.
func TestTheLatestPositionsAreFound(t *testing.T) {
	for _, behind := range []int{0, 1, 5, 300} {
		c := newCluster()
		l := c.create("state", 2, 1)
		latest := func() *changelog.Positions {
			t.Helper()
			p, err := changelog.Latest(t.Context(), c, "state", 2)
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		if p := latest(); p != nil {
			t.Errorf("of an empty log: %+v", p)
		}
		for epoch := range uint64(3) {
			p := changelog.Positions{Cluster: "c", Epoch: epoch, Inputs: []record.Position{{Cluster: "c", Topic: "in", Partition: 2, Offset: int64(10 * epoch)}}}
			l.put(changelog.PositionsKey(), p.Append(nil))
			l.marker()
		}
		for range behind {
			l.put([]byte{1, 'S', 'x'}, nil)
		}
		l.ends.LastStable = l.ends.HighWatermark
		p := latest()
		if p == nil || p.Epoch != 2 {
			t.Fatalf("with %d behind: %+v", behind, p)
		}
		if in, ok := p.Input("in"); !ok || in.Offset != 20 {
			t.Errorf("%+v", in)
		}
	}
	if _, err := changelog.Latest(t.Context(), newCluster(), "state", 0); err == nil {
		t.Error("of no log: no error")
	}
}
