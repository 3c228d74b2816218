package record

// Fate is what became of an input record. Each record that a task takes has
// exactly one, so at every commit the taken records equal the sum over all fates.
type Fate uint8

const (
	Processed Fate = iota // a callback ran and its effects were committed
	Filtered              // left out on purpose (a tombstone, a filter)
	Duplicate             // seen before
	Late                  // beyond the retention of what it belongs to
	Dead                  // written to the dead-letter topic
	fates
)

// String returns the fate's name as metrics and headers spell it.
func (f Fate) String() string {
	switch f {
	case Processed:
		return "processed"
	case Filtered:
		return "filtered"
	case Duplicate:
		return "duplicate"
	case Late:
		return "late"
	case Dead:
		return "dead"
	}
	return "unknown"
}

// Counts counts records by fate, indexed by [Fate].
type Counts [fates]int64

// Sum returns the number of records over all fates.
func (c Counts) Sum() int64 {
	var n int64
	for _, v := range c {
		n += v
	}
	return n
}

// Plus returns the sum of two counts, fate by fate.
func (c Counts) Plus(o Counts) Counts {
	for i := range c {
		c[i] += o[i]
	}
	return c
}
