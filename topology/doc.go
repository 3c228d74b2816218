// Package topology says what a group consumes, keeps and emits.
//
// [Group] takes a name and edges with goka's names and types, so a goka group's
// edges and callbacks move over as they are:
//
//	g := topology.Group("clicks-per-user",
//		topology.Input("clicks", new(codec.String), count),
//		topology.Persist(new(codec.Int64)),
//	)
//
// New code need not cast: [InputOf], [PersistOf], [OutputOf], [StoreOf] and the
// others take typed codecs, and what OutputOf, JoinOf, LookupOf and StoreOf return
// is also the handle that a callback emits, reads and writes through.
//
// [Def.Build] checks the whole and returns every mistake at once, each with a
// hint. The [Plan] that it makes is pure data: the engine walks it, a test driver
// walks it, [Plan.Describe] shows it, [Def.GroupGraph] renders it for stock goka.
//
// Names depend on the user's names only. A group g owns the topics g-table,
// g-loop and g-state, whatever goka's package-level suffix setters say; the three
// suffixes are reserved.
//
// Edges, definitions and plans do not change once made and may be shared between
// goroutines.
package topology
