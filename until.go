package kappa

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/seed-73111be4/kappa/internal/engine"
	"github.com/seed-73111be4/kappa/record"
)

const untilForms = "use now, a time such as 2026-11-28T12:00:00Z, or TOPIC:PARTITION=OFFSET,…,TOPIC=now"

// parseUntil reads what Options.Until and --until say.
func parseUntil(text string) (*engine.Until, error) {
	if text == "" {
		return nil, nil
	}
	u := &engine.Until{Topics: map[string]engine.Point{}, Partitions: map[record.Partition]engine.Point{}}
	for _, item := range strings.Split(text, ",") {
		if err := untilItem(u, strings.TrimSpace(item)); err != nil {
			return nil, &usageError{fmt.Errorf("until %q: %w; %s", text, err, untilForms)}
		}
	}
	return u, nil
}

// untilItem is POINT, TOPIC=POINT, or TOPIC:PARTITION=OFFSET.
func untilItem(u *engine.Until, item string) error {
	place, value, named := strings.Cut(item, "=")
	if !named {
		at, err := parsePoint(item)
		if err == nil && u.Rest != nil {
			err = fmt.Errorf("%q is the second end of what is not named", item)
		}
		u.Rest = &at
		return err
	}
	topic, number, one := strings.Cut(place, ":")
	if topic == "" {
		return fmt.Errorf("%q names no topic", item)
	}
	if !one {
		at, err := parsePoint(value)
		if _, twice := u.Topics[topic]; twice && err == nil {
			err = fmt.Errorf("%s is named twice", topic)
		}
		u.Topics[topic] = at
		return err
	}
	n, err := strconv.ParseInt(number, 10, 32)
	if err != nil || n < 0 {
		return fmt.Errorf("%q is no partition", place)
	}
	p := record.Partition{Topic: topic, Partition: int32(n)}
	at := engine.Point{}
	if value != "now" {
		at.Kind = engine.AtOffset
		if at.At, err = strconv.ParseInt(value, 10, 64); err != nil || at.At < 0 {
			return fmt.Errorf("%q is no offset of %s:%d", value, topic, n)
		}
	}
	if _, twice := u.Partitions[p]; twice {
		return fmt.Errorf("%s is named twice", place)
	}
	u.Partitions[p] = at
	return nil
}

// parsePoint is "now", or a time.
func parsePoint(text string) (engine.Point, error) {
	if text == "now" {
		return engine.Point{}, nil
	}
	t, err := parseTime(text)
	return engine.Point{Kind: engine.AtTime, At: t}, err
}

// parseTime reads a time as RFC 3339, a date of which it is the first moment in UTC, or
// milliseconds since 1970, and returns the last.
func parseTime(text string) (int64, error) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n >= 0 {
		return n, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UnixMilli(), nil
		}
	}
	return 0, fmt.Errorf("%q is no time", text)
}
