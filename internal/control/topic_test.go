package control_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/seed-73111be4/kappa/internal/control"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/internal/testenv"
	"github.com/seed-73111be4/kappa/record"
)

func cluster(t *testing.T, topics ...string) *kafka.Cluster {
	t.Helper()
	c, err := kafka.Open(t.Context(), kafka.Config{Brokers: testenv.Fake(t).Brokers()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	for _, topic := range topics {
		if _, err := c.CreateTopics(t.Context(), kafka.TableSpec(topic, 1)); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func TestNamesResolve(t *testing.T) {
	c := cluster(t, "stats-table", "stats.v2-table", "plain")
	if err := control.SetAlias(t.Context(), c, "latest", "stats-table"); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"latest":      "stats-table",
		"stats":       "stats-table",
		"stats.v2":    "stats.v2-table",
		"plain":       "plain",
		"stats-table": "stats-table",
	} {
		got, found, err := control.Resolve(t.Context(), c, name)
		if got != want || !found || err != nil {
			t.Errorf("%s: %q, %v, %v; want %q", name, got, found, err, want)
		}
	}
	_, found, err := control.Resolve(t.Context(), c, "stast")
	var none *control.NotFoundError
	if found || !errors.As(err, &none) {
		t.Fatalf("stast: %v, %v", found, err)
	}
	want := `there is no table "stast": it is no alias and no topic, and there is no topic "stast-table" (did you mean stats?)`
	if err.Error() != want {
		t.Errorf("error %q\n want %q", err, want)
	}
}

func TestSetAliasIsIdempotentAndCountsGenerations(t *testing.T) {
	c := cluster(t, "a-table", "b-table")
	for _, table := range []string{"a-table", "a-table", "b-table", "b-table"} {
		if err := control.SetAlias(t.Context(), c, "x", table); err != nil {
			t.Fatal(err)
		}
	}
	as, err := control.Read(t.Context(), c)
	if err != nil || as["x"].Table != "b-table" || as["x"].Generation != 2 {
		t.Errorf("aliases %+v, %v", as, err)
	}
	if age := time.Since(as["x"].Since); age < 0 || age > time.Minute {
		t.Errorf("set %s ago", age)
	}
	ends, err := c.Ends(t.Context(), record.Partition{Topic: control.Topic})
	if err != nil || ends.HighWatermark != 2 {
		t.Errorf("%d records written, want 2 (%v)", ends.HighWatermark, err)
	}
	if err := control.SetAlias(t.Context(), c, "x", "none-table"); !errors.Is(err, record.ErrUnknownTopic) {
		t.Errorf("an alias of nothing: %v", err)
	}
}

func TestWatchTellsOfEachChange(t *testing.T) {
	c := cluster(t, "a-table", "b-table")
	if err := control.SetAlias(t.Context(), c, "x", "a-table"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	told, done := make(chan control.Aliases, 10), make(chan error, 1)
	go func() { done <- control.Watch(ctx, c, func(as control.Aliases) { told <- as }) }()
	if as := <-told; as["x"].Table != "a-table" {
		t.Errorf("first: %v", as)
	}
	if err := control.SetAlias(t.Context(), c, "x", "b-table"); err != nil {
		t.Fatal(err)
	}
	if as := <-told; as["x"].Table != "b-table" {
		t.Errorf("then: %v", as)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}

func TestWithoutControlTopicThereAreNoAliases(t *testing.T) {
	c := cluster(t)
	if as, err := control.Read(t.Context(), c); len(as) != 0 || err != nil {
		t.Errorf("%v, %v", as, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	told, done := make(chan control.Aliases, 1), make(chan error, 1)
	go func() { done <- control.Watch(ctx, c, func(as control.Aliases) { told <- as }) }()
	if as := <-told; len(as) != 0 {
		t.Errorf("%v", as)
	}
	cancel()
	<-done
}
