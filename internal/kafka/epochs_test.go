package kafka

import (
	"errors"
	"testing"

	"github.com/seed-73111be4/kappa/record"
)

func TestEpochEndIsTheLogsEndInTheCurrentEpoch(t *testing.T) {
	c, ctx := testCluster(t), testContext(t)
	topic := testTopic(t, c, 1)
	p := record.Partition{Topic: topic}
	e, err := c.NewEmitter(EmitterConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for range 3 {
		if err := e.Emit(ctx, record.Record{Topic: topic, Value: []byte("v")}); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	ends, err := c.Ends(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.EpochEnd(ctx, p, ends.LeaderEpoch)
	if err != nil || got != 3 {
		t.Errorf("end of epoch %d is %d, %v; want 3", ends.LeaderEpoch, got, err)
	}
	p.Partition = 7
	if _, err := c.EpochEnd(ctx, p, 0); !errors.Is(err, record.ErrUnknownTopic) {
		t.Errorf("of an unknown partition: %v", err)
	}
}
