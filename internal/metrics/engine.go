package metrics

import (
	"maps"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-73111be4/kappa/internal/engine"
	"github.com/seed-73111be4/kappa/record"
)

// engineCollector turns an engine's figures into metrics.
type engineCollector struct {
	stats func() engine.Stats
	engineMetrics
}

type engineMetrics struct {
	// by group
	tasks, workers, queued                             family
	commits, commitRecords, commitChanges, commitEmits family
	commitSeconds                                      *prometheus.Desc
	aborts, rebuilds                                   family
	restores, replayed, wipes, purges                  family
	muted, replayLeft, replayGoal                      family
	standbys, standbyRecords                           family
	// by task
	records, lag                      family
	restored, restoreGoal, restoreETA family
	keys, memory, dirty, store        family
}

func newEngineMetrics() engineMetrics {
	return engineMetrics{
		tasks:          gauge("tasks", "Tasks that this process holds, by phase: restoring, running, failed.", "group", "phase"),
		workers:        gauge("workers", "Goroutines that run tasks, each with a transaction of its own.", "group"),
		queued:         gauge("queued_bytes", "Bytes of records that are fetched and not yet committed.", "group"),
		commits:        counter("commits", "Committed transactions.", "group"),
		commitRecords:  counter("commit_records", "Input records in committed transactions.", "group"),
		commitChanges:  counter("commit_changes", "Changelog records in committed transactions.", "group"),
		commitEmits:    counter("commit_emits", "Emitted records in committed transactions.", "group"),
		commitSeconds:  prometheus.NewDesc("kappa_commit_duration_seconds", "From the begin of a commit to its answer.", []string{"group"}, nil),
		muted:          counter("muted_emits", "Records for outputs that were dropped, for the group was reset with silent outputs.", "group"),
		replayLeft:     gauge("replay_records_remaining", "Input records of the whole group until it stands where it stood before its last reset.", "group"),
		replayGoal:     gauge("replay_goal_records", "Input records that the group's last reset has taken it back; 0 where it was never reset.", "group"),
		aborts:         counter("aborts", "Transactions that did not commit, by cause.", "group", "cause"),
		rebuilds:       counter("producer_rebuilds", "Producers made anew after an unknown outcome or a fence.", "group"),
		restores:       counter("restores", "Tasks whose state was restored.", "group"),
		replayed:       counter("replayed_records", "Changelog records that restores have replayed.", "group"),
		wipes:          counter("store_wipes", "Local stores that did not fit their topics and were built anew.", "group"),
		purges:         counter("purges", "Requests that deleted processed records of intermediate topics.", "group"),
		standbys:       gauge("standby_tasks", "Tasks of other processes whose state this one follows.", "group"),
		standbyRecords: counter("standby_records", "Changelog records that standbys have taken.", "group"),

		records:     counter("records", "Committed input records since the group began, by fate: each record has exactly one.", "group", "task", "fate"),
		lag:         gauge("lag_records", "Input records that the task has not committed yet.", "group", "task", "topic"),
		restored:    gauge("restore_records", "Changelog records that the restore of the task has replayed.", "group", "task"),
		restoreGoal: gauge("restore_goal_records", "About how many changelog records the restore of the task replays.", "group", "task"),
		restoreETA:  gauge("restore_eta_seconds", "Estimated rest of the restore of the task; 0 where unknown or done.", "group", "task"),
		keys:        gauge("state_keys", "Keys of the task's state in memory.", "group", "task"),
		memory:      gauge("state_memory_bytes", "Bytes of the task's state in memory.", "group", "task"),
		dirty:       gauge("state_dirty_bytes", "Bytes of the task's state that are committed and not yet on the local disk.", "group", "task"),
		store:       gauge("store_bytes", "Estimated bytes of the task's state on the local disk.", "group", "task"),
	}
}

// Describe sends nothing: the metrics depend on the tasks held.
func (c *engineCollector) Describe(chan<- *prometheus.Desc) {}

// Collect reads the figures once.
func (c *engineCollector) Collect(ch chan<- prometheus.Metric) {
	for _, g := range c.stats().Groups {
		c.group(ch, &g)
		for i := range g.Tasks {
			c.task(ch, g.Group, &g.Tasks[i])
		}
	}
}

func (c *engineCollector) group(ch chan<- prometheus.Metric, g *engine.GroupStats) {
	phases := map[engine.TaskPhase]float64{engine.Restoring: 0, engine.Running: 0, engine.Failed: 0}
	for i := range g.Tasks {
		phases[g.Tasks[i].Phase]++
	}
	for phase, n := range phases {
		c.tasks.send(ch, n, g.Group, string(phase))
	}
	for cause, n := range g.Aborts {
		c.aborts.send(ch, float64(n), g.Group, string(cause))
	}
	for _, m := range []struct {
		family
		value int64
	}{
		{c.workers, int64(g.Workers)}, {c.queued, g.QueuedBytes},
		{c.commits, g.Commits}, {c.commitRecords, g.CommitRecords}, {c.commitChanges, g.CommitChanges}, {c.commitEmits, g.CommitEmits},
		{c.rebuilds, g.Rebuilds}, {c.restores, g.Restores}, {c.replayed, g.ReplayedRecords}, {c.wipes, g.Wipes}, {c.purges, g.Purged},
		{c.muted, g.MutedEmits}, {c.replayLeft, g.ReplayLeft}, {c.replayGoal, g.ReplayGoal},
		{c.standbys, int64(g.Standbys)}, {c.standbyRecords, g.StandbyRecords},
	} {
		m.send(ch, float64(m.value), g.Group)
	}
	c.latency(ch, g)
}

// latency sends a histogram whose buckets are cumulative and in seconds.
func (c *engineCollector) latency(ch chan<- prometheus.Metric, g *engine.GroupStats) {
	h := &g.CommitLatency
	buckets := make(map[float64]uint64, len(engine.LatencyBounds))
	count := uint64(0)
	for i, n := range h.Buckets {
		count += uint64(n)
		if i < len(engine.LatencyBounds) {
			buckets[engine.LatencyBounds[i].Seconds()] = count
		}
	}
	m, err := prometheus.NewConstHistogram(c.commitSeconds, count, h.Sum.Seconds(), buckets, valid([]string{g.Group})...)
	if err != nil {
		m = prometheus.NewInvalidMetric(c.commitSeconds, err)
	}
	ch <- m
}

func (c *engineCollector) task(ch chan<- prometheus.Metric, group string, t *engine.TaskStats) {
	task := itoa(t.Partition)
	for fate, n := range t.Counts {
		if t.Phase == engine.Restoring {
			break // not known yet: a 0 would look like a counter that starts again
		}
		c.records.send(ch, float64(n), group, task, record.Fate(fate).String())
	}
	for _, topic := range slices.Sorted(maps.Keys(t.Lag)) {
		if n := t.Lag[topic]; n >= 0 { // else not known yet
			c.lag.send(ch, float64(n), group, task, topic)
		}
	}
	for _, m := range []struct {
		family
		value float64
	}{
		{c.restored, float64(t.Restored)}, {c.restoreGoal, float64(t.RestoreTotal)}, {c.restoreETA, t.RestoreETA.Seconds()},
		{c.keys, float64(t.StateKeys)}, {c.memory, float64(t.StateBytes)}, {c.dirty, float64(t.DirtyBytes)}, {c.store, float64(t.StoreBytes)},
	} {
		m.send(ch, m.value, group, task)
	}
}
