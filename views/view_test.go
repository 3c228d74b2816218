package views

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/state"
)

func TestReadsAreInKeyOrderOverAllPartitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster("t-table")
		c.put("t-table", 0, "a=1", "c=3", "x=old")
		c.put("t-table", 1, "b=2", "d=4")
		c.put("t-table", 0, "x=new", "c")
		v := openView(t, c, func(cfg *Config) { cfg.Codec = upper{} })
		caughtUp(t, v)
		if got, want := rows(t, v, Query{}), "a=1 b=2 d=4 x=new "; got != want {
			t.Errorf("rows %q, want %q", got, want)
		}
		for _, key := range []string{"x", "x"} { // from the store, then from the cache
			if got, found, err := v.Get(key); got != "decoded new" || !found || err != nil {
				t.Errorf("Get(x) = %v, %v, %v", got, found, err)
			}
		}
		if _, found, err := v.Get("c"); found || err != nil {
			t.Errorf("a deleted key: found %v, %v", found, err)
		}
		many, err := v.GetMany([]string{"x", "none", "a", "x"})
		if want := [][]byte{[]byte("new"), nil, []byte("1"), []byte("new")}; err != nil || !reflect.DeepEqual(many, want) {
			t.Errorf("GetMany = %q, %v", many, err)
		}
	})
}

func TestAValueThatDoesNotDecodeNamesItsKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster("t-table")
		c.put("t-table", 0, "k=bad")
		v := openView(t, c, func(cfg *Config) { cfg.Codec = upper{} })
		caughtUp(t, v)
		_, _, err := v.Get("k")
		if err == nil || !strings.Contains(err.Error(), `"k"`) {
			t.Errorf("Get: %v", err)
		}
		if _, err := v.Scan(Query{}); err == nil {
			t.Error("Scan returned a value that does not decode")
		}
	})
}

func TestQueries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster("t-table")
		c.put("t-table", 0, "=0", "a=1", "ab=2", "ac=3", "b=4", "\xff=5", "\xff\xff=6")
		v := openView(t, c)
		caughtUp(t, v)
		for _, tt := range []struct {
			q    Query
			want string
		}{
			{Query{Prefix: "a"}, "a=1 ab=2 ac=3 "},
			{Query{Prefix: "a", From: "ab"}, "ab=2 ac=3 "},
			{Query{Prefix: "a", From: "b"}, ""},
			{Query{Prefix: "b", From: "a"}, "b=4 "},
			{Query{From: "ab", To: "b"}, "ab=2 ac=3 "},
			{Query{Prefix: "a", To: "ac"}, "a=1 ab=2 "},
			{Query{From: "b", To: "a"}, ""},
			{Query{Prefix: "\xff"}, "\xff=5 \xff\xff=6 "},
			{Query{Limit: 2}, "=0 a=1 "},
		} {
			if got := rows(t, v, tt.q); got != tt.want {
				t.Errorf("%+v: rows %q, want %q", tt.q, got, tt.want)
			}
		}
	})
}

func TestPagesShowEveryRowOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster("t-table")
		c.put("t-table", 0, "=0", "a=1", "b=2")
		c.put("t-table", 1, "aa=3", "c=4")
		v := openView(t, c)
		caughtUp(t, v)
		for limit := 1; limit <= 6; limit++ {
			got, q := "", Query{Limit: limit}
			for {
				page, err := v.Scan(q)
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range page.Rows {
					got += r.Key + ","
				}
				if q.From = page.Next; q.From == "" {
					break
				}
			}
			if got != ",a,aa,b,c," {
				t.Errorf("limit %d: keys %q", limit, got)
			}
		}
	})
}

func TestARestartReadsOnlyWhatIsNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, db := newFakeCluster("t-table"), state.NewMemory()
		use := func(cfg *Config) { cfg.DB = db }
		at := c.put("t-table", 0, "a=1", "b=2")
		v := openView(t, c, use)
		caughtUp(t, v)
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
		c.put("t-table", 0, "b=3")
		c.opened = nil
		v = openView(t, c, use)
		caughtUp(t, v)
		if got := rows(t, v, Query{}); got != "a=1 b=3 " {
			t.Errorf("rows %q", got)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, p := range c.opened {
			if p.Partition == 0 && p.Offset != at.Offset {
				t.Errorf("partition 0 was read from %d, want %d", p.Offset, at.Offset)
			}
		}
	})
}

func TestACopyThatDoesNotFitIsBuiltAnew(t *testing.T) {
	const topic = "t-table"
	for name, tt := range map[string]struct {
		change       func(*fakeCluster)
		reason, want string
	}{
		"recreated topic":   {func(c *fakeCluster) { c.create(topic, 2) }, "deleted and created again", ""},
		"other cluster":     {func(c *fakeCluster) { c.topics[topic].src.Cluster = "c2"; cut(c, 0) }, "cluster", ""},
		"more partitions":   {func(c *fakeCluster) { c.create(topic, 3); c.topics[topic].src.ID = record.TopicID{1} }, "2 partitions, now 3", ""},
		"lost records":      {func(c *fakeCluster) { cut(c, 1) }, "lost records", "gone=1 "},
		"lost epoch":        {func(c *fakeCluster) { cut(c, 0); grow(c.log(topic, 0), 3); c.log(topic, 0).epoch = 3 }, "leader epoch", ""},
		"purged records":    {func(c *fakeCluster) { c.put(topic, 0, "z=1"); c.log(topic, 0).start = 4 }, "starts at 4", ""},
		"too old a copy":    {func(c *fakeCluster) { time.Sleep(4 * day); cut(c, 0); c.put(topic, 0, "z=1", "y=1", "x=1") }, "delete.retention.ms", "x=1 y=1 z=1 "},
		"another table":     {func(c *fakeCluster) { c.create("u-table", 2); c.aliases["t"] = "u-table" }, "copy of topic t-table", ""},
		"an unknown header": {nil, "not a view's header", "b=2 gone=1 "},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var logged strings.Builder
				c, db := newFakeCluster(topic), state.NewMemory()
				use := func(cfg *Config) { cfg.DB, cfg.Log = db, slog.New(slog.NewTextHandler(&logged, nil)) }
				c.log(topic, 0).epoch = 5
				c.put(topic, 0, "gone=1", "b=2")
				v := openView(t, c, use)
				caughtUp(t, v)
				if err := v.Close(); err != nil {
					t.Fatal(err)
				}
				if tt.change != nil {
					tt.change(c)
				} else {
					spoilHeader(t, db)
				}
				v = openView(t, c, use)
				caughtUp(t, v)
				if got := rows(t, v, Query{}); got != tt.want {
					t.Errorf("rows %q, want %q", got, tt.want)
				}
				if !strings.Contains(logged.String(), tt.reason) {
					t.Errorf("the log does not say %q:\n%s", tt.reason, logged.String())
				}
				if names, _ := db.Names(); len(names) != 1 {
					t.Errorf("stores left: %v", names)
				}
			})
		})
	}
}

// cut leaves the first n records of partition 0.
func cut(c *fakeCluster, n int) {
	l := c.log("t-table", 0)
	l.entries = l.entries[:n]
	for i := range l.entries {
		l.entries[i].last = true
	}
}

func spoilHeader(t *testing.T, db state.DB) {
	t.Helper()
	s, err := db.Open("view/t/1")
	if err != nil {
		t.Fatal(err)
	}
	var b state.Batch
	b.Set(headerKey(), []byte("spoilt"))
	if err := errors.Join(s.Apply(&b), s.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestAnOldCopyThatMissedNothingIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, db := newFakeCluster("t-table"), state.NewMemory()
		use := func(cfg *Config) { cfg.DB = db }
		c.put("t-table", 0, "a=1")
		v := openView(t, c, use)
		caughtUp(t, v)
		v.Close()
		time.Sleep(30 * day)
		v = openView(t, c, use)
		if got := rows(t, v, Query{}); got != "a=1 " {
			t.Errorf("rows %q", got)
		}
	})
}

func TestACopyThatIsFollowedDoesNotAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, db := newFakeCluster("t-table"), state.NewMemory()
		use := func(cfg *Config) { cfg.DB, cfg.CheckEvery = db, time.Hour }
		c.put("t-table", 0, "a=1")
		v := openView(t, c, use)
		time.Sleep(10 * day) // open, and nothing happens
		v.Close()
		c.put("t-table", 0, "b=2")
		v = openView(t, c, use)
		if got := rows(t, v, Query{}); !strings.HasPrefix(got, "a=1 ") {
			t.Errorf("the copy was dropped: rows %q", got)
		}
	})
}

func TestAViewFollowsItsAliasWhenTheNewTableIsComplete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, db := newFakeCluster("t-table", "v2-table"), state.NewMemory()
		c.put("t-table", 0, "a=old")
		v := openView(t, c, func(cfg *Config) { cfg.DB = db })
		caughtUp(t, v)
		sub, err := v.Subscribe(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		c.append("v2-table", 1, false, parseChange("a=new")) // an open transaction: cannot catch up yet
		c.change(func() { c.aliases["t"] = "v2-table" })
		synctest.Wait()
		if got := rows(t, v, Query{}); got != "a=old " {
			t.Errorf("before the new copy is complete: rows %q", got)
		}
		c.append("v2-table", 1, true)
		synctest.Wait()
		if got := rows(t, v, Query{}); got != "a=new " || v.Table() != "v2-table" {
			t.Errorf("after the switch: rows %q of %s", got, v.Table())
		}
		if _, err := sub.Next(t.Context()); !errors.Is(err, ErrSwitched) {
			t.Errorf("the subscription ended with %v, want ErrSwitched", err)
		}
		if err := v.WaitFor(t.Context(), []record.Position{{Topic: "t-table", Offset: 1}}); !errors.Is(err, ErrOtherTable) {
			t.Errorf("waiting for the old table: %v", err)
		}
		if names, _ := db.Names(); len(names) != 1 {
			t.Errorf("stores left: %v", names)
		}
		c.change(func() { delete(c.aliases, "t") })
		synctest.Wait()
		if got := rows(t, v, Query{}); got != "a=old " {
			t.Errorf("after the alias was removed: rows %q", got)
		}
	})
}

func TestALogThatWasCutOffOrRecreatedIsFollowedAnew(t *testing.T) {
	for name, change := range map[string]func(*fakeCluster){
		"purged":    func(c *fakeCluster) { l := c.log("t-table", 0); l.start = int64(len(l.entries)) + 3; grow(l, 6) },
		"recreated": func(c *fakeCluster) { c.mu.Unlock(); c.create("t-table", 2); c.mu.Lock() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newFakeCluster("t-table")
				c.put("t-table", 0, "gone=1")
				v := openView(t, c)
				caughtUp(t, v)
				c.change(func() { change(c) })
				at := c.put("t-table", 1, "b=2")
				if err := v.WaitFor(t.Context(), []record.Position{{Topic: "t-table", Partition: 1, Offset: at.Offset}}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				if got := rows(t, v, Query{}); got != "b=2 " {
					t.Errorf("rows %q", got)
				}
				if s := v.Stats(); s.Switches != 1 || !s.CaughtUp {
					t.Errorf("stats %+v", s)
				}
			})
		})
	}
}

func grow(l *fakeLog, n int) {
	for range n {
		l.entries = append(l.entries, fakeEntry{last: true})
	}
}

func TestSubscribersSeeOldAndNewValues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster("t-table")
		c.put("t-table", 0, "a1=1", "b=1")
		v := openView(t, c)
		caughtUp(t, v)
		sub, err := v.Subscribe(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		c.put("t-table", 0, "a1=2", "b=2", "a1=3", "a2=1", "a1")
		want := []string{`a1 "1" "2" 4`, `a1 "2" "3" 6`, `a2 "" "1" 7`, `a1 "3" "" 8`}
		for _, w := range want {
			ch, err := sub.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprintf("%s %q %q %d", ch.Key, ch.Old, ch.Value, ch.Position.Offset); got != w {
				t.Errorf("change %s, want %s", got, w)
			}
		}
		sub.Close()
		if _, err := sub.Next(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

func TestASlowSubscriberIsToldAndBlocksNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster("t-table")
		v := openView(t, c, func(cfg *Config) { cfg.Buffer = 2 })
		slow, _ := v.Subscribe(t.Context(), "")
		other, _ := v.Subscribe(t.Context(), "c")
		c.put("t-table", 0, "a=1", "b=2", "c=3")
		caughtUp(t, v)
		for range 2 {
			if _, err := slow.Next(t.Context()); err != nil {
				t.Fatalf("what was buffered is lost: %v", err)
			}
		}
		if _, err := slow.Next(t.Context()); !errors.Is(err, ErrLagging) {
			t.Errorf("got %v, want ErrLagging", err)
		}
		if ch, err := other.Next(t.Context()); ch.Key != "c" || err != nil {
			t.Errorf("the other subscriber got %+v, %v", ch, err)
		}
	})
}

func TestAClosedViewSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster("t-table")
		v := openView(t, c)
		sub, _ := v.Subscribe(t.Context(), "")
		waited := make(chan error)
		go func() { waited <- v.WaitFor(context.Background(), []record.Position{{Topic: "t-table", Offset: 9}}) }()
		synctest.Wait()
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
		_, _, getErr := v.Get("a")
		_, subErr := sub.Next(t.Context())
		_, scanErr := v.Scan(Query{})
		for what, err := range map[string]error{"Get": getErr, "Next": subErr, "Scan": scanErr, "WaitFor": <-waited, "Ready": v.Ready()} {
			if !errors.Is(err, ErrClosed) {
				t.Errorf("%s: %v, want ErrClosed", what, err)
			}
		}
	})
}

func TestTwoViewsOfOneNameNeedTwoDatabases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, db := newFakeCluster("t-table"), state.NewMemory()
		openView(t, c, func(cfg *Config) { cfg.DB = db })
		if _, err := open(t.Context(), Config{Table: "t", DB: db}, c); !errors.Is(err, state.ErrOpen) {
			t.Errorf("got %v, want state.ErrOpen", err)
		}
	})
}

func TestNoReadShowsHalfOfATransaction(t *testing.T) {
	c := newFakeCluster("t-table")
	v := openView(t, c)
	const keys, rounds = 50, 300
	put := func(n int) record.Position {
		var cs []string
		for k := range keys {
			cs = append(cs, fmt.Sprintf("k%02d=%06d", k, n))
		}
		return c.put("t-table", 0, cs...)
	}
	put(0)
	caughtUp(t, v)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			for n := i; ctx.Err() == nil; n++ {
				first, _, _ := v.GetBytes(fmt.Sprintf("k%02d", n%keys))
				second, _, _ := v.GetBytes(fmt.Sprintf("k%02d", (n*7+1)%keys))
				if string(second) < string(first) {
					t.Errorf("read %s, then %s of an older transaction", first, second)
					return
				}
				seen := map[string]bool{}
				_ = v.Iterate(Query{}, func(r Row) error { seen[string(r.Bytes)] = true; return nil })
				many, _ := v.GetMany([]string{"k00", "k49"})
				if len(seen) != 1 || string(many[0]) != string(many[1]) {
					t.Errorf("one read shows values %v, %q", seen, many)
					return
				}
			}
		})
	}
	var at record.Position
	for n := 1; n <= rounds; n++ {
		at = put(n)
	}
	if err := v.WaitFor(t.Context(), []record.Position{at}); err != nil {
		t.Error(err)
	}
	if got, _, _ := v.GetBytes("k00"); string(got) != fmt.Sprintf("%06d", rounds) {
		t.Errorf("at the end k00 = %s", got)
	}
	cancel()
	wg.Wait()
}
