// Package control keeps what all readers and groups of a cluster must agree on in one
// compacted topic, kappa-control: the aliases, which say which table topic is
// behind a reader-visible name, the resets, which say in which generation of its topics
// a group runs, and the groups' shapes. Moving an alias is how a rebuilt table takes the
// place of its predecessor for all views and sinks at once.
//
// The format is in docs/format/control.md. All functions may be called from any
// goroutine and any process. Writers do not lock each other out: the last
// SetAlias wins.
package control
