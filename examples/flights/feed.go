package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-73111be4/kappa"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/schema"
)

func feedCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "feed",
		Short: "Send a month's flights to the topic flights",
		Long: `Send the events of a month's file to the topic flights, in the order of their
times, but for repetition and disorder that a seed decides. A row that cannot be
read is named, and nothing is sent, unless --skip-bad.`,
		Example: "  flights feed --brokers 127.0.0.1:9092 --data data/flights-2013-01.csv.gz --dup 0.03 --disorder 10m --seed 1",
		Args:    cobra.NoArgs,
	}
	var d Disturb
	f := cmd.Flags()
	data := f.String("data", "", "the month's file, CSV, may be gzipped; - is the standard input")
	f.Float64Var(&d.Dup, "dup", 0, "share of the events that are sent a second time later, 0 to 1")
	f.DurationVar(&d.Disorder, "disorder", 0, "how much of event time an event may come late")
	f.Uint64Var(&d.Seed, "seed", 0, "decides repetition and disorder")
	rate := f.Int("rate", 0, "events a second (0: as fast as they are taken)")
	skip := f.Bool("skip-bad", false, "leave out the rows that cannot be read, and say how many")
	cmd.MarkFlagRequired("data")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := d.check(*rate); err != nil {
			return err
		}
		month, err := readFile(*data, cmd.InOrStdin())
		if err != nil {
			return err
		}
		if err := month.tell(cmd.ErrOrStderr(), *data, *skip); err != nil {
			return err
		}
		c, err := kappa.Connect(cmd)
		if err != nil {
			return err
		}
		defer c.Close()
		return feed(cmd.Context(), c, d.Feed(month.Rows), *rate, cmd.ErrOrStderr())
	}
	return cmd
}

func (d Disturb) check(rate int) error {
	switch {
	case d.Dup < 0 || d.Dup > 1:
		return fmt.Errorf("--dup %v: a share is from 0 to 1", d.Dup)
	case d.Disorder < 0:
		return fmt.Errorf("--disorder %v: it cannot be negative", d.Disorder)
	case rate < 0:
		return fmt.Errorf("--rate %d: it cannot be negative", rate)
	}
	return nil
}

// manyBad is how many bad rows are named.
const manyBad = 10

// tell says what the file holds. Bad rows are an error, unless they are skipped.
func (m *Month) tell(to io.Writer, file string, skip bool) error {
	fmt.Fprintf(to, "%s: %d flights, %d repeated rows, %d bad rows\n", file, len(m.Rows), m.Repeated, len(m.Bad))
	if len(m.Bad) == 0 {
		return nil
	}
	var list []error
	for _, bad := range m.Bad[:min(len(m.Bad), manyBad)] {
		list = append(list, bad)
	}
	if len(m.Bad) > manyBad {
		list = append(list, fmt.Errorf("and %d more", len(m.Bad)-manyBad))
	}
	if skip {
		fmt.Fprintf(to, "left out:\n%v\n", errors.Join(list...))
		return nil
	}
	return fmt.Errorf("%s has %d bad rows, nothing is sent (--skip-bad sends the others):\n%w", file, len(m.Bad), errors.Join(list...))
}

// feed sends events in their order, with progress once a second.
func feed(ctx context.Context, c *kappa.Client, events []Event, rate int, progress io.Writer) error {
	emitter, err := c.Emitter(record.FNV1a)
	if err != nil {
		return err
	}
	defer emitter.Close()
	codec, begin := schema.JSON[Event](), time.Now()
	told := begin
	for i, e := range events {
		if err := pace(ctx, begin, i, rate); err != nil {
			return fmt.Errorf("after %d events: %w", i, err)
		}
		value, err := codec.Append(nil, e)
		if err != nil {
			return err
		}
		r := record.Record{Topic: "flights", Key: []byte(e.ID), Value: value, Timestamp: e.At.UnixMilli()}
		if err := emitter.Emit(ctx, r); err != nil {
			return err
		}
		if now := time.Now(); now.Sub(told) >= time.Second {
			told = now
			fmt.Fprintf(progress, "%d of %d events, up to %s\n", i+1, len(events), e.At.Format(time.DateTime))
		}
	}
	if err := emitter.Flush(ctx); err != nil {
		return err
	}
	fmt.Fprintf(progress, "%d events in %v\n", len(events), time.Since(begin).Round(time.Millisecond))
	return nil
}

// pace waits until the i-th event is due.
func pace(ctx context.Context, begin time.Time, i, rate int) error {
	if rate == 0 {
		return ctx.Err()
	}
	due := begin.Add(time.Duration(float64(i) / float64(rate) * float64(time.Second)))
	wait := time.Until(due)
	if wait <= 0 {
		return ctx.Err()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(wait):
		return nil
	}
}
