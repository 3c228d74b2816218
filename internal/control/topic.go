package control

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/record"
)

// Topic is the control topic's name. It has one partition.
const Topic = "kappa-control"

func partition() record.Partition { return record.Partition{Topic: Topic} }

// Ensure creates the control topic where it does not exist.
func Ensure(ctx context.Context, c *kafka.Cluster) error {
	if _, err := c.CreateTopics(ctx, kafka.TableSpec(Topic, 1)); err != nil {
		return fmt.Errorf("create the control topic: %w", err)
	}
	return nil
}

// Read returns the aliases as of now; none where there is no control topic.
func Read(ctx context.Context, c *kafka.Cluster) (Aliases, error) {
	as := Aliases{}
	reader, err := load(ctx, c, as.fold)
	if err != nil {
		if errors.Is(err, record.ErrUnknownTopic) {
			return Aliases{}, nil
		}
		return nil, fmt.Errorf("read aliases from %s: %w", Topic, err)
	}
	reader.Close()
	return as, nil
}

// load reads to the high watermark as of the call, and so waits for transactions that
// are open there; the reader stands behind it.
func load(ctx context.Context, c *kafka.Cluster, fold func(record.Batch) (bool, error)) (record.LogReader, error) {
	topics, err := c.Topics(ctx, Topic) // asks without waiting for a topic to appear
	if err != nil {
		return nil, err
	}
	if _, ok := topics[Topic]; !ok {
		return nil, record.ErrUnknownTopic
	}
	ends, err := c.Ends(ctx, partition())
	if err != nil {
		return nil, err
	}
	reader := c.Open(partition(), ends.Start)
	for next := ends.Start; next < ends.HighWatermark; {
		b, err := reader.Next(ctx)
		if err == nil {
			_, err = fold(b)
		}
		if err != nil {
			reader.Close()
			return nil, err
		}
		next = b.Next
	}
	return reader, nil
}

func (as Aliases) fold(b record.Batch) (changed bool, err error) {
	for i := range b.Records {
		c, err := as.apply(&b.Records[i])
		if err != nil {
			return changed, err
		}
		changed = changed || c
	}
	return changed, nil
}

// SetAlias makes name stand for a table topic, which must exist. It creates the
// control topic at first use, and writes nothing where the alias says so already.
func SetAlias(ctx context.Context, c *kafka.Cluster, name, table string) error {
	if err := check(ctx, c, name, table); err != nil {
		return fmt.Errorf("set alias %q to %s: %w", name, table, err)
	}
	if err := Ensure(ctx, c); err != nil {
		return err
	}
	as, err := Read(ctx, c)
	if err != nil {
		return err
	}
	old := as[name]
	if old.Table == table {
		return nil
	}
	a := Alias{Name: name, Table: table, Generation: old.Generation + 1, Since: time.Now()}
	if err := write(ctx, c, a); err != nil {
		return fmt.Errorf("set alias %q to %s: %w", name, table, err)
	}
	return nil
}

// Move makes the name of a's stand for its table, unless the name is at that
// generation, or a later one, already. The table must exist.
func Move(ctx context.Context, c *kafka.Cluster, a Alias) (moved bool, err error) {
	if err := check(ctx, c, a.Name, a.Table); err != nil {
		return false, fmt.Errorf("move alias %q to %s: %w", a.Name, a.Table, err)
	}
	as, err := Read(ctx, c)
	if err != nil || as[a.Name].Generation >= a.Generation {
		return false, err
	}
	if err := write(ctx, c, a); err != nil {
		return false, fmt.Errorf("move alias %q to %s: %w", a.Name, a.Table, err)
	}
	return true, nil
}

func check(ctx context.Context, c *kafka.Cluster, name, table string) error {
	if name == "" || table == "" {
		return errors.New("name and table must not be empty")
	}
	topics, err := c.Topics(ctx, table)
	if err != nil {
		return err
	}
	if _, ok := topics[table]; !ok {
		return fmt.Errorf("topic %s: %w (an alias names the table's topic, such as GROUP-table)", table, record.ErrUnknownTopic)
	}
	return nil
}

func write(ctx context.Context, c *kafka.Cluster, a Alias) error {
	r, err := a.Record()
	if err != nil {
		return err
	}
	return put(ctx, c, r)
}

// put writes a record outside of any transaction.
func put(ctx context.Context, c *kafka.Cluster, r record.Record) error {
	e, err := c.NewEmitter(kafka.EmitterConfig{})
	if err != nil {
		return err
	}
	defer e.Close()
	if err := e.Emit(ctx, r); err != nil {
		return err
	}
	return e.Flush(ctx)
}

// lookAgain is how often Watch looks for a topic that does not exist (yet).
const lookAgain = 5 * time.Second

// Watch calls fn with the aliases as they are, and again after each change, until
// ctx ends or the topic cannot be read; it returns why. fn owns the map. Until
// there is a control topic, there are no aliases.
func Watch(ctx context.Context, c *kafka.Cluster, fn func(Aliases)) error {
	told := Aliases(nil)
	tell := func(as Aliases) {
		if told == nil || !maps.Equal(told, as) {
			told = maps.Clone(as)
			fn(maps.Clone(as))
		}
	}
	for {
		err := watch(ctx, c, tell)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, record.ErrUnknownTopic):
			tell(Aliases{})
		case !errors.Is(err, record.ErrRecreated) && !errors.Is(err, record.ErrOffsetOutOfRange):
			return fmt.Errorf("watch aliases in %s: %w", Topic, err)
		}
		if !sleep(ctx, lookAgain) {
			return context.Cause(ctx)
		}
	}
}

func watch(ctx context.Context, c *kafka.Cluster, tell func(Aliases)) error {
	as := Aliases{}
	reader, err := load(ctx, c, as.fold)
	if err != nil {
		return err
	}
	defer reader.Close()
	tell(as)
	for {
		b, err := reader.Next(ctx)
		if err != nil {
			return err
		}
		changed, err := as.fold(b)
		if err != nil {
			return err
		}
		if changed {
			tell(as)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
