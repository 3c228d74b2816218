// Package kappa makes a program of topologies: hand them to [Main] and it has the
// verbs run, describe, view, lag, topics, emit, leave and dev, with flags,
// environment variables, help and shell completion.
//
//	func main() {
//		kappa.Main(kappa.App{
//			Name:   "clicks",
//			Short:  "Count clicks per user",
//			Groups: []*topology.Def{clicksPerUser},
//		})
//	}
//
// Verbs of the program's own are commands of [cobra]; they reach the cluster that
// the connection flags name through [Connect]. What the verbs do, a program can
// do without them: [Open] a [Client], then [Client.Start], [Client.View] and the
// rest.
//
// A Client and what it returns are safe for concurrent use. The package starts no
// goroutine of its own, and only [Main] ends the process.
package kappa
