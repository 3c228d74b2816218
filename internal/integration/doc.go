// Package integration tests the engine end to end, on kfake and on real Kafka. It
// holds no code of its own beside tests.
package integration
