package views

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/state"
	"github.com/seed-73111be4/kappa/state/pebble"
)

// openBench opens a view with n keys and 8-byte values that is followed.
func openBench(b *testing.B, db state.DB, cache int64, n int) (*View, *fakeCluster) {
	b.Helper()
	c := newFakeCluster("t-table")
	const batch = 1000
	for from := 0; from < n; from += batch {
		rs := make([]record.Record, batch)
		for i := range rs {
			rs[i] = record.Record{Key: fmt.Appendf(nil, "key-%08d", from+i), Value: binary.BigEndian.AppendUint64(nil, uint64(i))}
		}
		c.append("t-table", int32(from/batch%2), true, rs...)
	}
	v, err := open(b.Context(), Config{Table: "t", DB: db, CacheBytes: cache}, c)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = v.Close() })
	if err := v.WaitCaughtUp(b.Context()); err != nil {
		b.Fatal(err)
	}
	return v, c
}

// BenchmarkGet reads random keys of 200,000 while the view applies 1000 changes
// every 100 ms.
func BenchmarkGet(b *testing.B) {
	const n = 200_000
	for _, driver := range []string{"memory", "pebble"} {
		for name, cache := range map[string]int64{"cache": 64 << 20, "bare": -1} {
			b.Run(driver+"/"+name, func(b *testing.B) {
				db := state.NewMemory()
				if driver == "pebble" {
					var err error
					if db, err = pebble.Open(b.TempDir(), pebble.Options{App: "bench"}); err != nil {
						b.Fatal(err)
					}
				}
				b.Cleanup(func() { _ = db.Close() })
				v, c := openBench(b, db, cache, n)
				keys := make([]string, n)
				for i, p := range rand.Perm(n) {
					keys[i] = fmt.Sprintf("key-%08d", p)
					_, _, _ = v.GetBytes(keys[i])
				}
				defer follow(b, c, n)()
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					if _, found, err := v.GetBytes(keys[i%n]); !found || err != nil {
						b.Fatal(found, err)
					}
				}
			})
		}
	}
}

// follow changes keys until the returned function is called.
func follow(b *testing.B, c *fakeCluster, n int) func() {
	ctx, cancel := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			rs := make([]record.Record, 1000)
			for i := range rs {
				rs[i] = record.Record{Key: fmt.Appendf(nil, "key-%08d", rand.IntN(n)), Value: []byte("changed!")}
			}
			c.append("t-table", 0, true, rs...)
			_ = sleep(ctx, 100*time.Millisecond)
		}
	})
	return func() { cancel(); wg.Wait() }
}

// BenchmarkApply is the rate at which a view takes changes in.
func BenchmarkApply(b *testing.B) {
	for _, cache := range []int64{-1, 64 << 20} {
		b.Run(fmt.Sprintf("cache=%v", cache > 0), func(b *testing.B) {
			v, c := openBench(b, state.NewMemory(), cache, 100_000)
			rs := make([]record.Record, 1000)
			for i := range rs {
				rs[i] = record.Record{Key: fmt.Appendf(nil, "key-%08d", i*97), Value: []byte("changed!")}
			}
			for b.Loop() {
				at := c.append("t-table", 0, true, rs...)
				if err := v.WaitFor(b.Context(), []record.Position{at}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/record")
		})
	}
}
