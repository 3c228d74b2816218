package bench

import (
	"errors"
	"fmt"
)

// killed is what became of a program that was killed in the middle of its input and
// started again at once.
type killed struct {
	first float64 // seconds from the kill to the first new commit
	recovery
}

// killAndRestart runs start until it has committed at records, kills it as kill -9
// does, runs again until the input is done, and checks the result.
func (l *lab) killAndRestart(start func() (*process, error), group string, in input, at int64) (k killed, p *process, err error) {
	if err := l.ensure(in); err != nil {
		return k, nil, err
	}
	if p, err = start(); err != nil {
		return k, nil, err
	}
	if _, err := l.follow(p, group, in.topic(), at); err != nil {
		return k, nil, err
	}
	p.kill()
	stood := l.committed(group, in.topic())
	if p, err = start(); err != nil {
		return k, nil, err
	}
	s, err := l.follow(p, group, in.topic(), in.Records)
	if err != nil {
		return k, p, err
	}
	for _, x := range s {
		if x.records > stood {
			k.first = x.at.Seconds()
			break
		}
	}
	if k.first == 0 {
		err = fmt.Errorf("nothing was left to do after the kill at %d of %d records", stood, in.Records)
	}
	return k, p, err
}

const limitP6 = 5 // seconds

// killFigures are P6 with 1.2M keys: the example, and the same count in a program
// that says what it has replayed.
func killFigures(l *lab) error {
	in := input{Dist: "cyclic", Keys: 1_200_000, Records: 3_000_000, ValueBytes: valueBytes, Partitions: partitions}
	w := row{Figure: "P6", Case: "1.2M keys", Unit: "s", Of: "kill to first new commit", Target: atMost(limitP6)}
	for range l.rounds {
		group := l.name("killed")
		k, p, err := l.killAndRestart(func() (*process, error) { return l.startCount(l.count, group, in.topic()) }, group, in, in.Records/2)
		if err == nil {
			err = p.stop()
		}
		if err == nil {
			_, err = l.counted(group+"-table", in)
		}
		if err = errors.Join(err, l.sweep(group)); err != nil {
			return err
		}
		l.logf("killed with %d keys: first commit after %.2f s", in.Keys, k.first)
		w.Values = append(w.Values, k.first)
	}
	group := l.name("killed")
	k, err := l.killKept(childRun{Program: "count", Group: group}, in, in.Records/2)
	if err == nil {
		_, err = l.counted(group+"-table", in)
	}
	if err != nil {
		return err
	}
	w.Note = fmt.Sprintf("another run: %s records replayed, tasks run after %.2f s", number(float64(k.Replayed)), k.Seconds)
	l.report.add(w)
	return errors.Join(l.sweep(group), l.drop(in))
}

// killKept kills a program of this binary and returns what it says of its restart.
func (l *lab) killKept(c childRun, in input, at int64) (killed, error) {
	c.In, c.Dir, c.Tasks = in.topic(), l.stateDir(c.Group), int(in.Partitions)
	k, p, err := l.killAndRestart(func() (*process, error) { return l.startChild(c) }, c.Group, in, at)
	if err != nil {
		return k, err
	}
	k.recovery, err = said(p)
	return k, err
}

// sizeFigures are P6 with state of several sizes.
func sizeFigures(l *lab) error {
	const value, key = 1000, 12
	for _, mib := range l.sizes {
		keys := mib << 20 / (value + key)
		in := input{Dist: "cyclic", Keys: keys, Records: int64(keys) * 2, ValueBytes: value, Partitions: partitions}
		group := l.name("sized")
		k, err := l.killKept(childRun{Program: "keep", Group: group}, in, int64(keys)*5/4)
		if err = errors.Join(err, l.sweep(group), l.drop(in)); err != nil {
			return err
		}
		l.report.add(row{
			Figure: "P6", Case: fmt.Sprintf("%d MiB of state", mib), Values: []float64{k.first}, Unit: "s", Of: "kill to first new commit", Target: atMost(limitP6),
			Note: fmt.Sprintf("%s of %s records replayed, tasks run after %.2f s", number(float64(k.Replayed)), number(float64(in.Records)*5/8), k.Seconds),
		})
	}
	return nil
}
