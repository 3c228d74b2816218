package reset

import (
	"errors"
	"fmt"
	"time"

	"github.com/seed-73111be4/kappa/archive"
	"github.com/seed-73111be4/kappa/internal/control"
	"github.com/seed-73111be4/kappa/record"
)

// Options say which group is to be set where. Only Group is needed; each field's
// comment ends with its default.
type Options struct {
	Group string
	// Shape is what the group reads and writes; as it last ran, and where that is not
	// known, as its committed offsets tell.
	Shape *control.Shape
	// Offsets are where partitions are set to; the others stay. Default: all partitions
	// go to Time.
	Offsets map[record.Partition]int64
	// Time sets each partition to its first record of that time or later; zero stands
	// for the earliest record that there is.
	Time time.Time
	// KeepState leaves the table and the stores as they are, so that records that were
	// processed before are processed on top; by default the group begins with none, in a
	// new generation of its topics.
	KeepState bool
	// Mute keeps outputs silent until the present position is reached again; they are
	// written again.
	Mute bool
	// AtOnce shows readers the new generation from the beginning on; they keep the old
	// one until the group has reached the present position again.
	AtOnce bool
	// Archive is where the past of inputs is that Kafka has forgotten; none.
	Archive *archive.Archive
	// Clock tells when the reset is made; time.Now.
	Clock func() time.Time
}

func (o Options) withDefaults() (Options, error) {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	switch {
	case o.Group == "":
		return o, errors.New("reset: no group named")
	case o.Shape != nil && o.Shape.Group != o.Group:
		return o, fmt.Errorf("reset group %s: the shape is of group %s", o.Group, o.Shape.Group)
	case o.Offsets != nil && !o.Time.IsZero():
		return o, fmt.Errorf("reset group %s: offsets and a time exclude each other", o.Group)
	case o.KeepState && o.AtOnce:
		return o, fmt.Errorf("reset group %s: with kept state there is nothing to switch at once", o.Group)
	}
	return o, nil
}
