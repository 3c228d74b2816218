// Package archiver copies topics of Kafka into an archive, for as long as it runs, and
// mends archives from Kafka.
//
// An Archiver shares the partitions of the topics that match its patterns with the
// other instances of its group. Kafka is its buffer: it watches the ends of the logs,
// and when enough has gathered in a partition, by bytes or by age, a job copies it into
// one segment and commits that. So there is nothing open in between, however many
// partitions there are, and memory is that of the jobs that run at once: a fixed number
// of slots, from one budget.
//
//	membership ──► partitions ◄── scan: ends of the logs, topics
//	                  │ due
//	                  ▼            one job a partition at a time, as many as slots
//	    extend: read [Next, last stable offset) ─► seal ─► commit
//	    tend:   merge small segments, retention, remove what no longer counts
//
// The manifest is the truth. The group only says who should work on what: two
// archivers of one partition waste work, and one of them is fenced, reads the newest
// manifest, drops its segment and goes on. The group's offsets are for those who watch
// its lag.
//
// A partition that cannot go on (Kafka has deleted what was not archived, or has lost
// what was) is failed by name and tried again; the others go on.
//
// Heal, Truncate and Compare work on one log, beside any archiver.
package archiver
