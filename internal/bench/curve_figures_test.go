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

// partitionFigures are the other curve of P10: the same rate of records over more
// and more partitions, on one worker.
func partitionFigures(l *lab) error {
	first := 0.0
	for _, n := range l.partitions {
		c, err := l.partitioned(int32(n))
		if err != nil {
			return fmt.Errorf("%d partitions: %w", n, err)
		}
		if first == 0 {
			first = c.micros()
		}
		w := row{
			Figure: "P10", Case: fmt.Sprintf("%d partitions", n), Values: []float64{c.micros() / first}, Unit: "×",
			Of: fmt.Sprintf("%d partition", l.partitions[0]), Target: atMost(2),
			Note: fmt.Sprintf("%s µs a record at %s records/s, one worker", number(c.micros()), number(float64(c.records)/c.seconds)),
		}
		l.report.add(w)
		l.logf("%d partitions: %s", n, w.Note)
	}
	return nil
}

func (l *lab) partitioned(n int32) (cost, error) {
	in := input{Dist: "uniform", Keys: 100_000, Records: 20 * int64(n), ValueBytes: valueBytes, Partitions: n}
	// Batches of a millisecond would be single records, which the broker could not take.
	v, err := l.startLive(in, 100*time.Millisecond, "--workers", "1")
	if err != nil {
		return cost{}, err
	}
	defer v.proc.kill()
	v.pace(l.live)
	err = l.sleep(warmUp)
	c, looked := v.look(l.span)
	return c, errors.Join(err, looked, v.close())
}
