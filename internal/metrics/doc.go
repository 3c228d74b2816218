// Package metrics shows the figures of a process to Prometheus: those of its
// engine, of its views and of its archiver, read when they are asked for, and those of the Go
// runtime and the process.
//
// Names start with kappa_, counters end in _total, units are in names. Labels are
// group, task, topic, view and small closed sets; never keys or offsets. A
// [Registry] is its own: nothing is registered globally. It is safe for
// concurrent use.
package metrics
