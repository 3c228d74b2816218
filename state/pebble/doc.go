// Package pebble is the durable driver of package state: all stores of a process
// in one Pebble database, each below a prefix of its own (docs/adr/0007 says why).
//
// There is no write-ahead log: the changelog is the durable copy of every store.
// A batch is durable once a Sync that began after it, or Close, has returned; a
// crash leaves an exact prefix of the applied batches.
//
// [Open] owns four entries of its directory and touches nothing else: LOCK, PID,
// the marker "kappa-state" and the folder "kappa-store". What is in them is a copy
// that can be rebuilt, so a folder of an unknown version, half written or corrupt
// is deleted, with a warning that says why. A directory of another app and one that
// another process uses are errors.
//
// A disk that fails or is full does not end the process: Apply and Sync return the
// error until a write of Pebble's own has worked again. Corruption, and a failed
// write of its manifest, last until the database is opened again.
package pebble
