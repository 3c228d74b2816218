// Package testenv gives tests clusters to run against: real Kafka started for the
// test (one or three nodes, transaction.version 1 or 2) and kfake, Kafka's
// imitation in this process, both with the same face, [Cluster].
//
// A test that must hold everywhere runs through [Shared.Each], which keeps one real
// cluster a version for all tests of a package:
//
//	var clusters testenv.Shared
//
//	func TestMain(m *testing.M) { os.Exit(clusters.Run(m)) }
//
//	func TestCount(t *testing.T) {
//		clusters.Each(t, func(t *testing.T, c *testenv.Cluster) {
//			topic := testenv.Name(t)
//			…
//		})
//	}
//
// A test that kills nodes for long, or wants other broker properties, starts its
// own: [Kafka], [Fake]. With -short only kfake runs. Without it a missing Kafka
// fails the test; scripts/kafka.sh installs it.
//
// [StartS3] starts a real S3 server, versitygw; archive/buckettest puts faults in front
// of it.
//
// The package knows nothing of kappa, so that every package's tests may import it.
// Real brokers die with the test process, however that ends. All of a cluster's
// methods may be called from any goroutine.
package testenv
