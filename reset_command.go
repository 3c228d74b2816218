package kappa

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-73111be4/kappa/record"
)

func resetCommand(app App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reset GROUP",
		Short: "Set a group to an earlier position, to process history again",
		Long: `Set a stopped group to other positions. Without --yes the plan is printed and
nothing is changed.

With --state clear the group begins with an empty table in topics of a new
generation. Readers keep the old table until the group has reached its old
position again; then they see the new one, and the old topics are removed. With
--state keep, records are processed again on top of the table as it is.

The reset is one transaction: it is made, or nothing has changed.`,
		Example: fmt.Sprintf("  %[1]s reset clicks-per-user --to-earliest\n  %[1]s reset clicks-per-user --to-time 2026-05-01 --outputs mute --yes\n  %[1]s reset clicks-per-user --to-offset clicks:0=1200,clicks:3=1100 --state keep --yes", app.Name),
		Args:    cobra.ExactArgs(1),
	}
	f := cmd.Flags()
	f.Bool("to-earliest", false, "set all partitions to the earliest record, of the archive where --bucket names one")
	f.StringSlice("to-offset", nil, "set single partitions to offsets, TOPIC:PARTITION=OFFSET, separated by commas; the others stay")
	f.String("to-time", "", "set all partitions to the first record of that time or later: RFC 3339, a date, or Unix milliseconds")
	f.String("by-duration", "", "set all partitions back to the first record that is as young as that, such as 36h or 7d")
	f.String("state", "clear", "what becomes of table and stores: clear, or keep")
	f.String("outputs", "again", "what becomes of outputs that were written before: again, or mute until the old position is reached")
	f.String("switch", "caught-up", "when readers see the new table: caught-up with the old position, or at-once")
	f.String("bucket", "", "URL of the archive where the inputs have their past, as the group is run with")
	f.Bool("yes", false, "make the reset")
	f.Bool("watch", false, "show how far the group is until readers have switched; without a position, after an earlier reset")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		f := flags{cmd.Flags()}
		only := f.on("watch") && len(targets(f)) == 0
		o, err := resetOptions(app, cmd, args[0])
		switch {
		case only:
		case err != nil:
			return err
		case f.on("watch") && !f.on("yes"):
			return &usageError{errors.New("--watch shows a reset that is made: add --yes, or leave the position out")}
		}
		c, err := Connect(cmd)
		if err != nil {
			return err
		}
		defer c.Close()
		if !only {
			if err := runReset(cmd, c, o); err != nil || !f.on("watch") {
				return err
			}
		}
		return watchReset(cmd, c, o.Group)
	}
	return jsonFlag(cmd)
}

func runReset(cmd *cobra.Command, c *Client, o ResetOptions) error {
	p, err := c.Reset(cmd.Context(), o)
	if err != nil {
		return err
	}
	yes := flags{cmd.Flags()}.on("yes")
	if !yes {
		return printReset(cmd, p, false)
	}
	if err := p.Apply(cmd.Context()); err != nil {
		return err
	}
	return printReset(cmd, p, true)
}

// resetOptions reads the flags of the verb.
func resetOptions(app App, cmd *cobra.Command, group string) (ResetOptions, error) {
	f := flags{cmd.Flags()}
	o := ResetOptions{Group: group, Groups: app.Groups, Bucket: f.text("bucket")}
	if err := resetTarget(f, &o); err != nil {
		return o, &usageError{err}
	}
	for _, choice := range []struct {
		flag, no, yes string
		set           *bool
	}{
		{"state", "clear", "keep", &o.KeepState}, {"outputs", "again", "mute", &o.Mute}, {"switch", "caught-up", "at-once", &o.AtOnce},
	} {
		switch v := f.text(choice.flag); v {
		case choice.no:
		case choice.yes:
			*choice.set = true
		default:
			return o, &usageError{fmt.Errorf("--%s %s: use %s or %s", choice.flag, v, choice.no, choice.yes)}
		}
	}
	if o.KeepState && o.AtOnce {
		return o, &usageError{fmt.Errorf("--state keep and --switch at-once exclude each other: there is no new table to switch to")}
	}
	return o, nil
}

// targets are the flags that say where to.
func targets(f flags) (given []string) {
	for _, name := range []string{"to-earliest", "to-offset", "to-time", "by-duration"} {
		if f.Changed(name) {
			given = append(given, "--"+name)
		}
	}
	return given
}

// resetTarget reads where to; exactly one of the flags says it.
func resetTarget(f flags, o *ResetOptions) (err error) {
	given := targets(f)
	if len(given) != 1 {
		return fmt.Errorf("say where to, once: --to-earliest, --to-offset, --to-time or --by-duration (given: %s)", strings.Join(given, " "))
	}
	switch given[0] {
	case "--to-offset":
		list, _ := f.GetStringSlice("to-offset")
		o.Offsets, err = parseOffsets(list)
	case "--to-time":
		o.Time, err = parseMoment(f.text("to-time"))
	case "--by-duration":
		var d time.Duration
		d, err = parseSpan(f.text("by-duration"))
		o.Time = time.Now().Add(-d)
	}
	return err
}

func parseOffsets(list []string) (map[record.Partition]int64, error) {
	offsets := map[record.Partition]int64{}
	for _, s := range list {
		place, number, _ := strings.Cut(s, "=")
		topic, partition, _ := strings.Cut(place, ":")
		p, err := strconv.ParseInt(partition, 10, 32)
		at, err2 := strconv.ParseInt(number, 10, 64)
		if topic == "" || err != nil || err2 != nil || p < 0 || at < 0 {
			return nil, fmt.Errorf("--to-offset %s: use TOPIC:PARTITION=OFFSET", s)
		}
		offsets[record.Partition{Topic: topic, Partition: int32(p)}] = at
	}
	return offsets, nil
}

// parseMoment reads a time as --until does.
func parseMoment(s string) (time.Time, error) {
	ms, err := parseTime(s)
	if err != nil {
		return time.Time{}, fmt.Errorf("--to-time %s: use 2026-05-01T12:00:00Z, 2026-05-01 or milliseconds since 1970", s)
	}
	return time.UnixMilli(ms), nil
}

// parseSpan reads a duration, also in days.
func parseSpan(s string) (time.Duration, error) {
	if digits, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.ParseUint(digits, 10, 16); err == nil {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("--by-duration %s: use a duration such as 90m, 36h or 7d", s)
	}
	return d, nil
}
