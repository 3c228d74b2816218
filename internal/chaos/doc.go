// Package chaos has the tests that run kappa's processes on a real Kafka of three
// brokers while both are killed, frozen, added and taken away. All of it stands in
// its tests.
package chaos
