// Package reset sets a group that does not run to other positions, so that the code
// that processes live records processes history.
//
//	p, err := reset.Make(ctx, cluster, reset.Options{Group: "stats"}) // nothing changes yet
//	err = p.Apply(ctx)                                                // one transaction
//
// The reset is one Kafka transaction: the group's offsets, a positions record for each
// task, the record of the reset in the control topic. A crash before its end changes
// nothing that a group or a reader sees. With cleared state it leaves a new generation
// of the group's table and state topic (internal/control) beside the old one, which
// readers keep until the group's processes have reached the old position and move the
// alias.
//
// Its functions may be called from any goroutine. Of two resets of a group at the same
// time, one is made.
package reset
