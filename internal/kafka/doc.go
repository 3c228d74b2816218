// Package kafka is kappa's one door to Kafka: it says what happened in outcomes
// that the engine can act on, and keeps the client library to itself.
//
//   - [Cluster] reaches a cluster: its identity, its topics, the ends of its logs.
//   - [Fetcher] delivers the committed records of many partitions to one poller.
//   - [LogReader] values (Cluster.Open) follow one partition by position, whole
//     transactions at a time: restores, views and standbys read with it.
//   - [Producer] writes transactions, and [Outcome] says how each step ended.
//   - [Member] is a process's membership in a group.
//
// A Cluster is safe for concurrent use, and so are the Fetchers and Producers of
// one Cluster beside each other; a Producer and a LogReader have one owner each.
//
// [LogReader]: github.com/seed-73111be4/kappa/record
package kafka
