package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"time"

	"github.com/lovoo/goka/codec"

	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/state/pebble"
	"github.com/seed-73111be4/kappa/views"
)

// reads are what the program view has done.
type reads struct {
	Reads, Found int64
	CPU          float64 // seconds of the thread that reads
	Seconds      float64
	Applied      int64 // changes of the table in that time
}

// runView follows a table and reads random keys of it for a while, on one thread.
func runView(ctx context.Context, c childRun) error {
	cluster, err := kafka.Open(ctx, kafka.Config{Brokers: c.Brokers})
	if err != nil {
		return err
	}
	defer cluster.Close()
	db, err := pebble.Open(c.Dir, pebble.Options{App: "bench", CacheBytes: 64 << 20})
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }() // nothing of it is needed again
	v, err := views.Open(ctx, views.Config{Logs: cluster, Table: c.Group, DB: db, Codec: new(codec.Int64), CacheBytes: c.Memory})
	if err != nil {
		return err
	}
	defer func() { _ = v.Close() }()
	if err := v.WaitCaughtUp(ctx); err != nil {
		return err
	}
	r, err := readAlong(v, c.Keys, c.Duration)
	return errors.Join(err, json.NewEncoder(os.Stdout).Encode(r))
}

// readAlong reads keys at random; the clock is looked at between batches.
func readAlong(v *views.View, keys int, d time.Duration) (reads, error) {
	names := make([]string, keys)
	for i, n := range rand.New(rand.NewPCG(seed, 1)).Perm(keys) {
		names[i] = string(appendKey(nil, uint64(n)))
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	applied := v.Stats().Records
	begun, cpu := time.Now(), threadTime()
	var r reads
	for time.Since(begun) < d {
		for range 1000 {
			_, found, err := v.Get(names[r.Reads%int64(keys)])
			if err != nil {
				return r, err
			}
			r.Reads++
			if found {
				r.Found++
			}
		}
	}
	r.CPU, r.Seconds, r.Applied = (threadTime() - cpu).Seconds(), time.Since(begun).Seconds(), v.Stats().Records-applied
	return r, nil
}

// viewFigures read from a view while the table that it follows is busy, evenly over
// 10k and over 1M keys. The default cache holds them all; a third of it does not.
func viewFigures(l *lab) error {
	for _, c := range []struct {
		dist, cache string
		bytes       int64
		target      target
	}{{"hot", "", 0, atLeast(500_000)}, {"uniform", "", 0, atLeast(500_000)}, {"uniform", ", a cache of 10 MiB", 10 << 20, target{}}} {
		in := standard(c.dist, 2*int64(keysOf[c.dist]))
		r, err := l.viewed(in, c.bytes)
		if err != nil {
			return err
		}
		l.report.add(row{
			Figure: "view", Case: fmt.Sprintf("point reads, %s keys%s", number(float64(in.Keys)), c.cache), Values: []float64{float64(r.Reads) / r.CPU},
			Unit: "reads/s", Of: "a core, the reading thread", Target: c.target,
			Note: fmt.Sprintf("%.0f %% found, while %s changes/s are applied", 100*float64(r.Found)/float64(r.Reads), number(float64(r.Applied)/r.Seconds)),
		})
	}
	return nil
}

func (l *lab) viewed(in input, cache int64) (reads, error) {
	var r reads
	v, err := l.startLive(in, 5*time.Millisecond)
	if err != nil {
		return r, err
	}
	defer v.proc.kill()
	v.pace(l.live)
	p, err := l.startChild(childRun{Program: "view", Group: v.group, Dir: l.stateDir(v.group + "-view"), Keys: in.Keys, Memory: cache, Duration: l.span})
	if err != nil {
		return r, err
	}
	defer p.kill()
	if err := l.await("the view has been read", func() bool { return p.ended() != nil }); err != nil {
		return r, err
	}
	if p.err != nil {
		return r, fmt.Errorf("view: %w\n%s", p.err, p.lastLog())
	}
	return r, errors.Join(json.Unmarshal(p.out.Bytes(), &r), v.close())
}
