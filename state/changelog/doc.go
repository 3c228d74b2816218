// Package changelog keeps a task's local state and its logs in step.
//
// The durable copy of a task's state is two compacted logs: the group table's
// topic and the group's state topic (named stores, timers and the committed
// [Positions]). [Restore] opens the local store, wipes it where it does not fit
// the logs, and replays what it lacks. From then on the owner writes to
// [State.Table], sends what [State.EachChange] lists inside a transaction, and
// calls [State.Commit] or [State.Abort] once the transaction has ended. The local
// store follows behind: when [State.FlushDue] says so, [State.BeginFlush] captures
// what is committed and [Flush.Run] writes it in the background, in one atomic
// batch with the positions that it stands for. So the store never holds anything
// newer than the logs have committed, and its positions fit its data.
//
// A State has one owner goroutine at a time; a Flush may run on another one.
package changelog
