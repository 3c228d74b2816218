package reset

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/seed-73111be4/kappa/internal/control"
	"github.com/seed-73111be4/kappa/internal/kafka"
)

// ErrNever says that a group was never reset.
var ErrNever = errors.New("the group was never reset")

// Progress is how far a group is on its way back to where it stood before its last
// reset.
type Progress struct {
	Group    string
	Left     int64  // input records until it stands there
	Goal     int64  // that the reset has taken it back
	Members  int    // of the group: 0 where nobody runs it
	Table    string // of the generation in which it runs, "" where it has none
	Switched bool   // it stands there, and readers see that table
}

// Look returns a group's progress as of now.
func Look(ctx context.Context, c *kafka.Cluster, group string) (Progress, error) {
	p, err := progress(ctx, c, group)
	if err != nil {
		return p, fmt.Errorf("reset of group %s: %w", group, err)
	}
	return p, nil
}

func progress(ctx context.Context, c *kafka.Cluster, group string) (Progress, error) {
	p := Progress{Group: group}
	s, err := control.ReadAll(ctx, c)
	if err != nil {
		return p, err
	}
	r := s.Resets[group]
	if r == nil {
		return p, ErrNever
	}
	committed, err := c.Committed(ctx, group, slices.Sorted(maps.Keys(r.Until))...)
	if err != nil {
		return p, err
	}
	members, err := c.Members(ctx, group)
	if err != nil {
		return p, err
	}
	p.Left, p.Goal = r.Left(committed)
	p.Members, p.Table = len(members), r.Table
	p.Switched = p.Left == 0 && (r.Table == "" || s.Aliases[group].Table == r.Table)
	return p, nil
}
