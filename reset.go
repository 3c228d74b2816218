package kappa

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed-73111be4/kappa/archive"
	"github.com/seed-73111be4/kappa/archive/bucket"
	"github.com/seed-73111be4/kappa/internal/control"
	"github.com/seed-73111be4/kappa/internal/engine"
	"github.com/seed-73111be4/kappa/internal/reset"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/topology"
)

// A ResetPlan is a reset that can be made; nothing is changed before its Apply.
type ResetPlan = reset.Plan

// A ResetMove is what a reset does with one partition of an input.
type ResetMove = reset.Move

// ResetOptions say where a group is set to, and what becomes of its state and outputs.
// Only Group is needed; each comment ends with the default.
type ResetOptions struct {
	// Group is the group's name.
	Group string
	// Groups are definitions among which the group's is, where they are at hand: what it
	// reads and writes is taken from there; else from how it last ran.
	Groups []*topology.Def
	// Offsets are where single partitions of inputs are set to, the others stay; all go
	// to Time.
	Offsets map[record.Partition]int64
	// Time sets each partition to its first record of that time or later; the earliest
	// record that there is.
	Time time.Time
	// KeepState leaves table and stores as they are: what was processed before is
	// processed on top; the group begins with none, in topics of their own, and readers
	// keep the old table until the new one has reached the old position.
	KeepState bool
	// AtOnce lets readers see the new table from its beginning; they keep the old one.
	AtOnce bool
	// Mute keeps outputs silent until the old position is reached again; they are
	// written again. Dead letters are written in any case.
	Mute bool
	// Bucket is the URL of the archive where inputs have their past; none.
	Bucket string
}

// Reset plans to set a group, which must not run, to other positions. Nothing is changed
// until the plan's Apply.
func (c *Client) Reset(ctx context.Context, o ResetOptions) (*ResetPlan, error) {
	shape, err := shapeOf(o.Group, o.Groups)
	if err != nil {
		return nil, err
	}
	ro := reset.Options{
		Group: o.Group, Shape: shape, Offsets: o.Offsets, Time: o.Time,
		KeepState: o.KeepState, AtOnce: o.AtOnce, Mute: o.Mute,
	}
	if o.Bucket == "" {
		return reset.Make(ctx, c.cluster, ro)
	}
	b, err := bucket.Open(ctx, o.Bucket)
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", o.Bucket, err)
	}
	ro.Archive = archive.New(b, archive.Config{})
	p, err := reset.Make(ctx, c.cluster, ro)
	return p, errors.Join(err, b.Close())
}

// shapeOf returns what a group among the definitions reads and writes, nil where it is
// not among them.
func shapeOf(group string, defs []*topology.Def) (*control.Shape, error) {
	if len(defs) == 0 {
		return nil, nil
	}
	plans, err := topology.Build(defs...)
	if err != nil {
		return nil, err
	}
	for _, p := range plans {
		if p.Group == group {
			return engine.ShapeOf(p, 0), nil
		}
	}
	return nil, nil
}
