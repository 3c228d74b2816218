// Package views keeps read-only copies of group tables and serves reads from
// them.
//
// A [View] follows the table topic of a group, one goroutine per partition, and
// applies what was committed to its own copy in a [state.DB]. All partitions
// share one keyspace, so iteration is in key order over the whole table. The copy
// survives restarts; where it no longer fits its topic it is wiped and rebuilt,
// and a log line says why. Tables that stock goka writes work as well.
//
//	v, err := views.Open(ctx, views.Config{Logs: cluster, Table: "route-stats", DB: db, Codec: codec})
//	defer v.Close()
//	err = v.WaitCaughtUp(ctx)
//	value, found, err := v.Get("EWR-IAH")
//
// # Consistency
//
// What a transaction wrote to one partition becomes visible at once, together
// with the position it ends at: a read never shows half of it. Partitions are
// independent of each other, as their transactions' markers are. Reads are of the
// past, by default a few milliseconds: [View.WaitFor], [View.WaitForInput] and
// [View.WaitCaughtUp] wait until the view contains what the caller needs to see.
//
// # Aliases
//
// [Config.Table] is a reader-visible name: an alias in the control topic, a topic
// or a group. Where the alias moves to another table, the view builds that
// table's copy beside the one that it serves and switches when it has caught up,
// at once for all keys. The same happens where the log no longer has what the
// copy would need next.
//
// A View is safe for concurrent use.
package views
