package topology

import (
	"github.com/lovoo/goka"

	"github.com/seed-73111be4/kappa/processors"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/schema"
)

// Plan is a group's topology after Build has found no mistake: what the engine
// and the test driver run. It is read-only and may be shared.
type Plan struct {
	Group string

	// Inputs are all co-partitioned topics that the group consumes: streams,
	// joined tables and the loop, sorted by topic.
	Inputs   []InputPlan
	Lookups  []TablePlan  // tables that every process keeps whole, sorted by topic
	Outputs  []OutputPlan // sorted by topic; without the group's own topics
	Table    *TablePlan   // the group table, nil where the group has none
	Stores   []StorePlan  // named stores, sorted by name
	Visitors []VisitorPlan
	Loop     *OutputPlan // the loop topic as an output, nil where there is none

	StateTopic string // positions, named stores, timers: always there
	DeadLetter string // topic of dead letters; "" where the policy is to fail
	OnError    ErrorPolicy
	Start      Start // where a new group starts
	ProcessNil bool  // tombstones of streams reach the callback as nil
	Hasher     record.Hasher

	// Fingerprint names the shape of the group: topics, kinds, stores, hasher.
	// It does not depend on callbacks or codecs.
	Fingerprint string
}

// InputKind says how an input is consumed.
type InputKind uint8

const (
	StreamInput InputKind = iota // each record goes to the callback
	JoinInput                    // each record updates a co-partitioned table
	LoopInput                    // as a stream, but written by the group itself
)

// InputPlan is one consumed topic.
type InputPlan struct {
	Topic string
	Kind  InputKind
	// Name is the joined table's in callbacks, where Topic is that of a later generation
	// of it; else "".
	Name  string
	Codec goka.Codec // decodes values; of a JoinInput the table's values
	// NewHandler makes the function that processes this input's records. It is
	// called once per task, and the handler is used by one goroutine, so it may
	// keep scratch memory. Nil for a JoinInput.
	NewHandler func() Handler
	// NeedsKey says that a record without key is an error, for the group keeps
	// keyed state.
	NeedsKey bool
}

// Handler processes one record: it decodes it and calls the user's callback. The
// error, or a panic, meets the group's error policy.
type Handler func(ctx processors.Context, r *record.Record) error

// OutputPlan is a topic that callbacks may emit to.
type OutputPlan struct {
	Topic string
	Codec schema.Appender
}

// TablePlan is a table's topic and codec.
type TablePlan struct {
	Topic string
	Codec schema.Appender
}

// StorePlan is a named store.
type StorePlan struct {
	Name  string
	Codec schema.Appender
}

// VisitorPlan is a callback that can be run over every key of the group table.
type VisitorPlan struct {
	Name     string
	Callback goka.ProcessCallback
}

// ErrorPolicy says what follows when a record cannot be processed.
type ErrorPolicy uint8

const (
	// Fail stops the task and names the record: nothing is skipped.
	Fail ErrorPolicy = iota
	// DeadLetters writes the record, with its position and error in headers, to
	// the dead-letter topic in the same transaction, and goes on.
	DeadLetters
)

// Start says where a group without committed positions begins.
type Start uint8

const (
	Earliest Start = iota
	Latest
)
