package topologytest

import (
	"context"
	"testing"
	"time"

	"github.com/seed-73111be4/kappa/record"
)

// Option changes how an App runs.
type Option interface{ set(*App) }

type option func(*App)

func (o option) set(a *App) { o(a) }

// Partitions says how many partitions every topic has; the default is 1. More show
// what keys share a task's named stores.
func Partitions(n int) Option { return option(func(a *App) { a.partitions = int32(n) }) }

// ManualCommit leaves it to the test to end transactions with Commit or Abort. The
// default is to commit before each call returns.
func ManualCommit() Option { return option(func(a *App) { a.manual = true }) }

// StartTime sets the clock; the default is the beginning of the year 2000, UTC.
func StartTime(t time.Time) Option { return option(func(a *App) { a.now = t }) }

// MaxMessageBytes bounds the records of a topic, as max.message.bytes does on a
// broker; the default is no bound.
func MaxMessageBytes(topic string, n int) Option {
	return option(func(a *App) { a.maxRecord[topic] = n })
}

// ReportTo makes errors fail the test, as New and NewApp do.
func ReportTo(tb testing.TB) Option {
	return option(func(a *App) { a.tb, a.ctx = tb, tb.Context() })
}

// SendOption changes a record that is sent.
type SendOption interface{ change(*record.Record) }

type sendOption func(*record.Record)

func (o sendOption) change(r *record.Record) { o(r) }

// At sets the record's timestamp, to the millisecond; the default is the clock.
func At(t time.Time) SendOption {
	return sendOption(func(r *record.Record) { r.Timestamp = t.UnixMilli() })
}

// Header adds a header. Headers of one key may repeat.
func Header(key, value string) SendOption {
	return sendOption(func(r *record.Record) {
		r.Headers = append(r.Headers, record.Header{Key: key, Value: []byte(value)})
	})
}

func defaults() *App {
	return &App{
		partitions: 1,
		now:        time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC),
		ctx:        context.Background(),
		maxRecord:  map[string]int{},
		drained:    map[string][]int{},
	}
}
