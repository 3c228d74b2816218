// Package topologytest runs groups in a test, without Kafka: feed records, read what
// comes of them.
//
// [New] makes a [Driver] of one group, [NewApp] an [App] of several whose outputs
// are each other's inputs. Both run the very code that production runs, over logs
// in memory: records are decoded and encoded, placed on partitions by the group's
// hasher, committed with their changelog, and what a group emits is seen only once
// it is committed.
//
//	func TestCountsClicks(t *testing.T) {
//		d := topologytest.New(t, counter)
//		d.Send("clicks", "ann", "/home")
//		d.Send("clicks", "ann", "/cart")
//		if got := d.Table("ann"); got != int64(2) {
//			t.Errorf("ann has %v clicks, want 2", got)
//		}
//	}
//
// Every Send is processed and committed before it returns, and so is what it sets
// off: messages to the group's own loop and to other groups of the App. With
// [ManualCommit] the test says when to commit or to abort. [App.Crash] drops all
// that is in memory and restores it from the changelog, as after a kill -9.
//
// What goes wrong, a record that cannot be processed say, fails the test; inside of
// [App.Try] it is returned instead. Without a test, as in an Example function, use
// [Open] and ask [App.Err].
//
// The examples of this package are the manual of the test driver, and a tour of
// what a group can do. Nothing here is safe for concurrent use.
package topologytest
