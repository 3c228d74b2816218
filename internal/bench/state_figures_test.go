package bench

import (
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// beyond is a count whose keys are far more than its memory holds.
func (l *lab) beyond() (contender, input) {
	records := max(l.records, 2*int64(l.bigKeys))
	c := contenders()[count]
	c.memory = l.bigMemory
	c.launch = kappaCount("--memory", fmt.Sprintf("%dB", l.bigMemory))
	return c, input{Dist: "uniform", Keys: l.bigKeys, Records: records, ValueBytes: valueBytes, Partitions: partitions}
}

// bigFigures count keys of which most are on disk, and restore that state.
func bigFigures(l *lab) error {
	c, in := l.beyond()
	base, err := l.measure(contenders()[raw], in, 1, "")
	if err != nil {
		return err
	}
	group := l.name("beyond")
	r, err := l.measure(c, in, 1, group)
	if err != nil {
		return err
	}
	if l.wants("big") {
		l.report.add(row{
			Figure: "big", Case: fmt.Sprintf("%s keys, %d MiB of memory", number(float64(in.Keys)), l.bigMemory>>20), Values: []float64{r.CPU / base.CPU},
			Unit: "×", Of: raw, Target: atMost(8), Note: number(r.CPU) + " ÷ " + number(base.CPU) + " µs",
		})
	}
	if l.wants("restore/beyond") {
		err = l.restore(group, in, l.bigMemory, r.Changes, "keys beyond one run", atLeast(.5e6))
	}
	if err == nil {
		err = l.sweep(group)
	}
	if err == nil {
		err = l.drop(in)
	}
	return err
}

// restoreFigures restore a count whose keys fit in memory.
func restoreFigures(l *lab) error {
	in, group := standard("uniform", l.records), l.name("lost")
	r, err := l.measure(contenders()[count], in, 1, group)
	if err != nil {
		return err
	}
	if err := l.restore(group, in, defaultMemory, r.Changes, "keys fit one run", atLeast(1.5e6)); err != nil {
		return err
	}
	return l.sweep(group)
}

// restore starts a group whose local store is lost, and takes how many records of
// its changelog a CPU-second replays.
func (l *lab) restore(group string, in input, memory, changes int64, name string, t target) error {
	if err := os.RemoveAll(l.stateDir(group)); err != nil {
		return err
	}
	// The group's static member was another one: its session has to end first, and
	// that is not what is measured here.
	if err := l.await("the group is empty", func() bool { return l.empty(group) }); err != nil {
		return err
	}
	r, err := l.recover(childRun{Program: "count", Group: group, Memory: memory}, in)
	if err != nil {
		return err
	}
	l.report.add(row{
		Figure: "restore", Case: fmt.Sprintf("%s, %s keys", name, number(float64(in.Keys))), Values: []float64{float64(r.Replayed) / r.CPU},
		Unit: "records/s", Of: "a core", Target: t,
		Note: fmt.Sprintf("%s of %s records replayed, %.1f s, %.1f s of CPU", number(float64(r.Replayed)), number(float64(changes)), r.Seconds, r.CPU),
	})
	return nil
}

// recover starts a program that has run before, waits until all of its tasks run,
// stops it and returns what it says of its start.
func (l *lab) recover(c childRun, in input) (recovery, error) {
	c.In, c.Dir, c.Tasks = in.topic(), l.stateDir(c.Group), int(in.Partitions)
	p, err := l.startChild(c)
	if err != nil {
		return recovery{}, err
	}
	defer p.kill()
	if err := l.await(p.name+" has restored its tasks", func() bool { return p.ended() != nil || p.logged(tasksRun) }); err != nil {
		return recovery{}, err
	}
	return said(p)
}

// said stops a program of [runKappa] and returns what it says of its start.
func said(p *process) (recovery, error) {
	var r recovery
	if err := p.stop(); err != nil {
		return r, err
	}
	if err := json.Unmarshal(p.out.Bytes(), &r); err != nil {
		return r, fmt.Errorf("%s: %w", p.name, err)
	}
	if r.CPU == 0 {
		return r, fmt.Errorf("%s has not restored all of its tasks", p.name)
	}
	return r, nil
}

// empty reports whether a group has no members.
func (l *lab) empty(group string) bool {
	d, err := l.admin.DescribeGroups(l.ctx, group)
	return err == nil && len(d[group].Members) == 0
}

// await polls until done says so.
func (l *lab) await(what string, done func() bool) error {
	begun := time.Now()
	for !done() {
		if time.Since(begun) > patience {
			return fmt.Errorf("waited %v until %s", patience, what)
		}
		if err := l.ctx.Err(); err != nil {
			return err
		}
		time.Sleep(look)
	}
	return nil
}
