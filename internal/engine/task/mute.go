package task

import (
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/topology"
)

// HeaderMuted marks a record of the group's loop that was emitted while outputs were
// silent: what follows from it is silent, too (docs/guides/reprocess.md).
const HeaderMuted = "kappa-muted"

const mutedVersion = "1"

// mutes reports whether what a record leads to must not reach outputs. It depends on
// the record alone, so a crash in between changes nothing.
func (in *input) mutes(r *record.Record) bool {
	if r.Offset < in.mute {
		return true
	}
	if in.plan.Kind != topology.LoopInput {
		return false
	}
	for i := range r.Headers {
		if r.Headers[i].Key == HeaderMuted {
			return true
		}
	}
	return false
}

// silence keeps a muted record's emit from an output, and marks one for the loop. It
// reports whether nothing is to be written.
func (c *taskContext) silence(out *output, o *Out) bool {
	if out != c.loop {
		c.silenced++
		return true
	}
	o.Headers = append(o.Headers, record.Header{Key: HeaderMuted, Value: []byte(mutedVersion)})
	return false
}
