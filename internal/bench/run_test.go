package bench

import (
	"errors"
	"fmt"
	"time"
)

// sample is how far a program was, and what it had cost by then.
type sample struct {
	at          time.Duration // since its start
	records     int64
	app, broker time.Duration // CPU
}

// samples are in order, each with more records than the one before.
type samples []sample

// at returns what stood when a number of records was committed, a straight line
// between samples.
func (s samples) at(records float64) sample {
	var before sample
	for _, x := range s {
		if float64(x.records) >= records {
			part := (records - float64(before.records)) / float64(x.records-before.records)
			between := func(a, b time.Duration) time.Duration { return a + time.Duration(part*float64(b-a)) }
			return sample{between(before.at, x.at), int64(records), between(before.app, x.app), between(before.broker, x.broker)}
		}
		before = x
	}
	return before
}

// result is one run of one program on one input.
type result struct {
	Program string
	Input   input
	Round   int
	CPU     float64 // µs of the program's CPU per record, between 10 % and 90 % of the records
	Whole   float64 // the same from the start of the process
	Broker  float64 // µs of the broker's CPU per record, and the S3 server's, between 10 % and 90 %
	Rate    float64 // records a second, between 10 % and 90 %
	First   float64 // seconds from the start of the process to the first commit
	Seconds float64 // to the last
	RSS     int64   // peak of resident memory, bytes
	Promise int64   // kappa's --memory, bytes; 0 for others
	Changes int64   // records in the table's topic (baselines: in what they produce)
}

func (s samples) result() result {
	last := s[len(s)-1]
	n := float64(last.records)
	from, to := s.at(n/10), s.at(n*9/10)
	micros := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 / (n * 8 / 10) }
	return result{
		CPU: micros(to.app - from.app), Broker: micros(to.broker - from.broker),
		Whole: float64(last.app.Nanoseconds()) / 1000 / n,
		Rate:  n * 8 / 10 / (to.at - from.at).Seconds(), First: s[0].at.Seconds(), Seconds: last.at.Seconds(),
	}
}

const (
	look     = 20 * time.Millisecond // between two looks at the committed offsets
	patience = 3 * time.Minute       // with a program that commits nothing more
)

// servers is what the broker and the S3 server have used.
func (l *lab) servers() time.Duration { return cpuTime(l.broker) + cpuTime(l.store) }

// follow watches a program until it has committed n records of a topic.
func (l *lab) follow(p *process, group, topic string, n int64) (samples, error) {
	broker := l.servers()
	var all samples
	progress := time.Now()
	for {
		k := l.committed(group, topic)
		s := sample{time.Since(p.begun), k, p.cpu(), l.servers() - broker}
		if k > 0 && (len(all) == 0 || k > all[len(all)-1].records) {
			all, progress = append(all, s), time.Now()
		}
		if k >= n {
			return all, nil
		}
		if time.Since(progress) > patience {
			return nil, fmt.Errorf("%s stands at %d of %d records for %v\n%s", p.name, k, n, patience, p.lastLog())
		}
		if err := errors.Join(p.ended(), l.ctx.Err()); err != nil {
			return nil, err
		}
		time.Sleep(look)
	}
}

// contender is a program that takes part in rounds.
type contender struct {
	name   string // as part of topics' names
	memory int64  // of kappa: --memory
	launch func(l *lab, group string, in input) (*process, error)
	verify func(l *lab, group string, in input) (changes int64, err error)
}

// measure runs a contender over an input, reads the result back and sweeps up, but
// for keep.
func (l *lab) measure(c contender, in input, round int, keep string) (result, error) {
	group := keep
	if group == "" {
		group = l.name(c.name + "-" + in.Dist)
	}
	r, err := l.runOnce(c, group, in)
	if err == nil {
		r.Changes, err = c.verify(l, group, in)
	}
	if keep == "" || err != nil {
		err = errors.Join(err, l.sweep(group))
	}
	if err != nil {
		return r, fmt.Errorf("%s on %s: %w", c.name, in.topic(), err)
	}
	r.Program, r.Input, r.Round, r.Promise = c.name, in, round, c.memory
	l.report.ran(r)
	l.logf("%-22s %-8s %d: %6.2f µs a record (whole %.2f, broker %.2f), %4.0fk/s, %4d MiB",
		c.name, in.Dist, round, r.CPU, r.Whole, r.Broker, r.Rate/1000, r.RSS>>20)
	return r, nil
}

func (l *lab) runOnce(c contender, group string, in input) (result, error) {
	if err := l.ensure(in); err != nil {
		return result{}, err
	}
	p, err := c.launch(l, group, in)
	if err != nil {
		return result{}, err
	}
	defer p.kill()
	s, err := l.follow(p, group, in.topic(), in.Records)
	if err != nil {
		return result{}, err
	}
	r := s.result()
	r.RSS = memory(p.pid(), "VmHWM")
	return r, p.stop()
}
