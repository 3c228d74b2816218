// Package control keeps what readers of a cluster's tables must agree on in one
// compacted topic, kappa-control: the aliases, which say which table topic is
// behind a reader-visible name. Moving an alias is how a rebuilt table takes the
// place of its predecessor for all views and sinks at once.
//
// The format is in docs/format/control.md. All functions may be called from any
// goroutine and any process. Writers do not lock each other out: the last
// SetAlias wins.
package control
