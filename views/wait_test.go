package views

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-73111be4/kappa/record"
)

func TestWaitCaughtUpNamesWhatItWaitsFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster("t-table")
		c.put("t-table", 1, "a=1")
		c.append("t-table", 1, false, parseChange("a=2"))
		v := openView(t, c)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		err := v.WaitCaughtUp(ctx)
		var late *WaitError
		if !errors.As(err, &late) || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v, want a WaitError", err)
		}
		if want := "view t waits for t-table/1@3 (at 2): context deadline exceeded"; err.Error() != want {
			t.Errorf("error %q, want %q", err, want)
		}
		if err := v.Ready(); err == nil || !strings.Contains(err.Error(), "not caught up") {
			t.Errorf("Ready: %v", err)
		}
		c.append("t-table", 1, true) // commits: the wait ends at a control record
		caughtUp(t, v)
		synctest.Wait()
		if err := v.Ready(); err != nil {
			t.Errorf("Ready: %v", err)
		}
		lags, err := v.Lag(t.Context())
		if err != nil || len(lags) != 2 || lags[1].Offsets() != 0 || lags[1].HighWatermark != 4 {
			t.Errorf("lags %+v, %v", lags, err)
		}
	})
}

func TestWaitForRefusesPositionsOfOtherTopics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster("t-table")
		v := openView(t, c)
		for want, p := range map[error]record.Position{
			ErrOtherTable:          {Topic: "u-table"},
			record.ErrRecreated:    {Topic: "t-table", TopicID: record.TopicID{9}},
			record.ErrUnknownTopic: {Topic: "t-table", Partition: 2},
		} {
			if err := v.WaitFor(t.Context(), []record.Position{p}); !errors.Is(err, want) {
				t.Errorf("%v: got %v, want %v", p, err, want)
			}
		}
	})
}

// The positions that a transaction commits and its table changes are in different
// logs, so the positions may be readable first.
func TestWaitForInputWaitsForTheTableToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster("t-table", "t-state")
		in := record.Position{Topic: "in", Partition: 1, Offset: 7}
		v := openView(t, c)
		done := make(chan error, 1)
		go func() { done <- v.WaitForInput(t.Context(), []record.Position{in}) }()
		c.commitInputs("t", 1, record.Position{Topic: "in", Partition: 1, Offset: 6})
		synctest.Wait()
		pending(t, done, "the input is not processed")
		c.append("t-table", 1, false, parseChange("a=1")) // written, its marker comes last
		c.commitInputs("t", 1, in)
		synctest.Wait()
		pending(t, done, "the table's changes are not readable")
		c.append("t-table", 1, true)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if got, _, _ := v.GetBytes("a"); string(got) != "1" {
			t.Errorf("a = %q", got)
		}
	})
}

func pending(t *testing.T, done <-chan error, while string) {
	t.Helper()
	select {
	case err := <-done:
		t.Fatalf("the wait ended with %v while %s", err, while)
	default:
	}
}

func TestWaitForInputNamesWhatIsNotProcessed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster("t-table", "t-state")
		v := openView(t, c)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := v.WaitForInput(ctx, []record.Position{{Topic: "in", Partition: 1, Offset: 7}})
		if want := "view t waits for in/1@7 (nothing processed yet): context deadline exceeded"; err == nil || err.Error() != want {
			t.Errorf("error %v, want %q", err, want)
		}
		if err := v.WaitForInput(ctx, []record.Position{{Topic: "in", Partition: 2}}); !errors.Is(err, record.ErrUnknownTopic) {
			t.Errorf("a partition without task: %v", err)
		}
	})
}

func TestATableOfGokasHasNoInputPositions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := openView(t, newFakeCluster("t-table"))
		if err := v.WaitForInput(t.Context(), []record.Position{{Topic: "in"}}); !errors.Is(err, ErrNoPositions) {
			t.Errorf("got %v, want ErrNoPositions", err)
		}
	})
}

func TestAWaitEndsOnTheTableThatTheAliasMovesTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster("t-table", "v2-table", "t-state", "v2-state")
		in := []record.Position{{Topic: "in", Partition: 0, Offset: 3}}
		v := openView(t, c)
		done := make(chan error, 1)
		go func() { done <- v.WaitForInput(t.Context(), in) }()
		synctest.Wait()
		c.put("v2-table", 0, "a=2")
		c.commitInputs("v2", 0, in[0])
		c.change(func() { c.aliases["t"] = "v2-table" })
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if got, _, _ := v.GetBytes("a"); string(got) != "2" {
			t.Errorf("a = %q", got)
		}
	})
}
