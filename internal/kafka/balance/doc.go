// Package balance assigns a group's tasks to its members.
//
// A task is a partition number: partition p of every co-partitioned input is
// given to one member together, and withheld together. The assignment is
// cooperative (a task that another member still owns is given to nobody until it
// is released), sticky (as few tasks move as balance within one allows) and
// deterministic (equal input gives equal bytes).
//
// Each member sends a [Join]: what it owns, since which generation, and the
// [Shape] of its topology. Members of one fingerprint share the group; a topology
// whose inputs extend the group's may join it, and the further inputs are assigned
// once all members have them; any other is refused by an empty assignment that
// says why. The group is the side that owns tasks.
//
//	members' Joins ──► [Compute] ──► an [Assignment] each
//
// [Balancer] carries both over the group protocol of Kafka, see
// docs/format/join-metadata.md for the bytes. Everything but the Balancer's
// counter of joins is a pure function; a Balancer may be used concurrently.
package balance
