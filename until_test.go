package kappa

import (
	"errors"
	"strings"
	"testing"

	"github.com/seed-73111be4/kappa/internal/engine"
	"github.com/seed-73111be4/kappa/record"
)

func TestWhatUntilMeans(t *testing.T) {
	at := func(p engine.Point) *engine.Point { return &p }
	now, noon := engine.Point{}, engine.Point{Kind: engine.AtTime, At: 1_795_867_200_000}
	offset := func(n int64) engine.Point { return engine.Point{Kind: engine.AtOffset, At: n} }
	part := func(topic string, n int32) record.Partition { return record.Partition{Topic: topic, Partition: n} }
	for text, want := range map[string]engine.Until{
		"now":                              {Rest: at(now)},
		"2026-11-28T12:00:00Z":             {Rest: at(noon)},
		"2026-11-28T13:00:00+01:00":        {Rest: at(noon)},
		"1795867200000":                    {Rest: at(noon)},
		"2026-11-28":                       {Rest: at(engine.Point{Kind: engine.AtTime, At: 1_795_824_000_000})},
		"in:0=5,in:1=0":                    {Partitions: map[record.Partition]engine.Point{part("in", 0): offset(5), part("in", 1): offset(0)}},
		"in:0=5, users=now":                {Topics: map[string]engine.Point{"users": now}, Partitions: map[record.Partition]engine.Point{part("in", 0): offset(5)}},
		"in:3=now,in=2026-11-28T12:00:00Z": {Topics: map[string]engine.Point{"in": noon}, Partitions: map[record.Partition]engine.Point{part("in", 3): now}},
		"in:0=5,now":                       {Rest: at(now), Partitions: map[record.Partition]engine.Point{part("in", 0): offset(5)}},
	} {
		u, err := parseUntil(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if (u.Rest == nil) != (want.Rest == nil) || u.Rest != nil && *u.Rest != *want.Rest || len(u.Topics) != len(want.Topics) || len(u.Partitions) != len(want.Partitions) {
			t.Errorf("%s: %+v", text, u)
		}
		for topic, p := range want.Topics {
			if got, ok := u.Topics[topic]; !ok || got != p {
				t.Errorf("%s: %s ends at %+v", text, topic, got)
			}
		}
		for q, p := range want.Partitions {
			if got, ok := u.Partitions[q]; !ok || got != p {
				t.Errorf("%s: %s ends at %+v", text, q, got)
			}
		}
	}
	if u, err := parseUntil(""); u != nil || err != nil {
		t.Errorf("%+v, %v", u, err)
	}
}

func TestWhatUntilCannotMeanIsAMistakeOfUsage(t *testing.T) {
	for text, says := range map[string]string{
		"tomorrow":        `"tomorrow" is no time`,
		"now,now":         "second end",
		"in:0=5,in:0=6":   "in:0 is named twice",
		"in=now,in=now":   "in is named twice",
		"in:x=5":          "no partition",
		"in:-1=5":         "no partition",
		"in:0=-5":         "no offset",
		"in:0=2026-11-28": "no offset",
		"in=5,":           `"" is no time`,
		"=now":            "names no topic",
		"in:0=":           "no offset",
	} {
		var usage *usageError
		if _, err := parseUntil(text); !errors.As(err, &usage) || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "TOPIC=now") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
