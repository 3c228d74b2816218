package bench

import (
	"errors"
	"fmt"
	"time"
)

// keyFigures are the curve of P10: what a record costs with more and more keys, at
// the default bound of memory.
func keyFigures(l *lab) error {
	first := 0.0
	for _, keys := range l.keys {
		in := standard("uniform", max(l.records, int64(keys)))
		in.Keys = keys
		r, err := l.measure(contenders()[count], in, 1, "")
		if err == nil && in != standard("uniform", l.records) {
			err = l.drop(in)
		}
		if err != nil {
			return err
		}
		if first == 0 {
			first = r.CPU
		}
		l.report.add(row{
			Figure: "P10", Case: number(float64(keys)) + " keys", Values: []float64{r.CPU / first}, Unit: "×",
			Of: fmt.Sprintf("%s keys", number(float64(l.keys[0]))), Note: number(r.CPU) + " µs a record",
		})
	}
	return nil
}

// partitionFigures are the other curve of P10: the same records over more and more
// partitions, on one worker: read at full speed, and fed at one rate.
func partitionFigures(l *lab) error {
	for _, way := range []struct {
		name string
		cost func(*lab, int32) (cost, error)
	}{{"at full speed", (*lab).caughtUp}, {"fed", (*lab).fed}} {
		first := 0.0
		for _, n := range l.partitions {
			c, err := way.cost(l, int32(n))
			if err != nil {
				return fmt.Errorf("%d partitions, %s: %w", n, way.name, err)
			}
			if first == 0 {
				first = c.micros()
			}
			w := row{
				Figure: "P10", Case: fmt.Sprintf("%d partitions, %s", n, way.name), Values: []float64{c.micros() / first}, Unit: "×",
				Of: fmt.Sprintf("%d partition", l.partitions[0]), Target: atMost(2),
				Note: fmt.Sprintf("%s µs a record at %s records/s, one worker", number(c.micros()), number(float64(c.records)/c.seconds)),
			}
			if rate := float64(c.fed) / c.seconds; c.fed > 0 && rate < .9*l.live {
				w.Note += fmt.Sprintf("; the broker took no more than %s of %s records/s", number(rate), number(l.live))
			}
			l.report.add(w)
			l.logf("%s: %s", w.Case, w.Note)
		}
	}
	return nil
}

func spread(n int32, records int64) input {
	return input{Dist: "uniform", Keys: 100_000, Records: records, ValueBytes: valueBytes, Partitions: n}
}

// caughtUp is the cost where the input is there already.
func (l *lab) caughtUp(n int32) (cost, error) {
	in, c := spread(n, l.records), contenders()[count]
	c.launch = kappaCount("--workers", "1")
	r, err := l.measure(c, in, 1, "")
	if err = errors.Join(err, l.drop(in)); err != nil {
		return cost{}, err
	}
	return cost{seconds: float64(in.Records) / r.Rate, cpu: r.CPU * float64(in.Records) / 1e6, records: in.Records}, nil
}

// fed is the cost where the input is fed at the live rate.
func (l *lab) fed(n int32) (cost, error) {
	// Batches of a millisecond would be single records, which the broker could not take.
	v, err := l.startLive(spread(n, 20*int64(n)), 100*time.Millisecond, "--workers", "1")
	if err != nil {
		return cost{}, err
	}
	defer v.proc.kill()
	v.pace(l.live)
	err = l.sleep(warmUp)
	c, looked := v.look(l.span)
	return c, errors.Join(err, looked, v.close())
}
