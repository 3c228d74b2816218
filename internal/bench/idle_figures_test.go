package bench

import (
	"errors"
	"fmt"
	"time"
)

// idleFigures look at a process with a thousand tasks that have nothing to do,
// beside one that has a single one.
func idleFigures(l *lab) error {
	const many = 1000
	one, err := l.startIdle(1)
	if err != nil {
		return err
	}
	defer one.proc.kill()
	all, err := l.startIdle(many)
	if err != nil {
		return err
	}
	defer all.proc.kill()
	if err := l.sleep(l.settle); err != nil {
		return err
	}
	c, err := all.look(l.span)
	if err != nil {
		return err
	}
	rss, base := memory(all.proc.pid(), "VmRSS"), memory(one.proc.pid(), "VmRSS")
	l.report.add(row{
		Figure: "idle", Case: fmt.Sprintf("CPU of %d tasks", many), Values: []float64{100 * c.cpu / c.seconds}, Unit: "%", Of: "a core", Target: atMost(1),
	})
	l.report.add(row{
		Figure: "idle", Case: fmt.Sprintf("memory of %d tasks", many), Values: []float64{float64(rss-base) / 1024 / (many - 1)}, Unit: "KB", Of: "a task", Target: atMost(100),
		Note: fmt.Sprintf("%d MiB, with one task %d MiB", rss>>20, base>>20),
	})
	return errors.Join(one.close(), all.close())
}

func (l *lab) startIdle(tasks int32) (*live, error) {
	return l.startLive(input{Dist: "uniform", Keys: 100_000, Records: 20 * int64(tasks), ValueBytes: valueBytes, Partitions: tasks}, 5*time.Millisecond)
}
