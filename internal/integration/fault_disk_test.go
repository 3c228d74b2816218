package integration

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lovoo/goka"
	gcodec "github.com/lovoo/goka/codec"

	"github.com/seed-73111be4/kappa/internal/engine"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/topology"
)

// smallDisk mounts a file system of so many bytes.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Skipf("a small disk cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill takes all the space that is left, but for some bytes.
func fill(t *testing.T, dir string, left int64) (free func()) {
	t.Helper()
	name := filepath.Join(dir, "ballast")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	size, block := int64(0), make([]byte, 4<<10)
	for err == nil {
		var n int
		n, err = f.Write(block)
		size += int64(n)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(size-left), f.Close()); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

// hoarding keeps the last value of each key, and emits it.
func hoarding(group, in, out string) *topology.Def {
	return topology.Group(goka.Group(group),
		topology.Input(goka.Stream(in), new(gcodec.Bytes), func(ctx goka.Context, msg any) {
			ctx.SetValue(msg)
			ctx.Emit(goka.Stream(out), ctx.Key(), []byte{1})
		}),
		topology.Persist(new(gcodec.Bytes)),
		topology.Output(goka.Stream(out), new(gcodec.Bytes)),
	)
}

// bulky are n records of 8 KiB, each with a key of its own.
func bulky(topic string, from, n int) []record.Record {
	out := make([]record.Record, n)
	for i := range out {
		out[i] = record.Record{Topic: topic, Key: fmt.Appendf(nil, "k%d", from+i), Value: bytes.Repeat([]byte{byte(from + i)}, 8<<10)}
	}
	return out
}

// A full disk stops the tasks cleanly and by name; nothing is committed that was
// not processed, and with space again a restart gives the exact result.
func TestAFullDiskStopsTheTaskAndNothingElse(t *testing.T) {
	on(t, func(r *rig) {
		in, out, group := r.topic("in", 1), r.topic("out", 1), r.name("g")
		o := r.fast(smallDisk(r.t, 96<<20))
		o.MemoryBytes, o.CacheBytes, o.FlushInterval = 8<<20, 8<<20, 50*time.Millisecond
		e := r.start(o, hoarding(group, in, out))
		r.emit(bulky(in, 0, 200)...)
		r.processed(200, group, e)
		free := fill(r.t, o.StateDir, 256<<10)
		n := 200
		for deadline := time.Now().Add(patience); e.Ready() == nil || strings.Contains(e.Ready().Error(), "restores"); n += 200 {
			if time.Now().After(deadline) {
				r.t.Fatalf("%d records were processed on a full disk", n)
			}
			r.emit(bulky(in, n, 200)...)
		}
		r.failed(e, "group "+group, "task 0", "no space left on device", "the disk fails, free or mend it")
		if got := len(r.read(out)); got != r.committedIn(group) {
			r.t.Errorf("%d records were emitted, %d committed", got, r.committedIn(group))
		}

		r.refusedOrFailed(o, hoarding(group, in, out), "no space left on device")
		free()
		e = r.start(o, hoarding(group, in, out))
		r.emit(bulky(in, n, 10)...)
		r.processed(int64(n+10), group, e)
		r.stop(e)
		table := r.table(group + "-table")
		for _, x := range bulky(in, 0, n+10) {
			if table[string(x.Key)] != string(x.Value) {
				r.t.Fatalf("%s is wrong or missing", x.Key)
			}
		}
		if len(table) != n+10 || len(r.read(out)) != n+10 {
			r.t.Errorf("%d keys in the table, %d records emitted, want %d", len(table), len(r.read(out)), n+10)
		}
	})
}

// committedIn is the number of records that the table of a hoarding group holds.
func (r *rig) committedIn(group string) int { return len(r.table(group + "-table")) }

// refusedOrFailed starts a group that cannot run: it is told so at once or soon.
func (r *rig) refusedOrFailed(o engine.Options, def *topology.Def, texts ...string) {
	r.t.Helper()
	e, err := r.tryStart(o, def)
	if err == nil {
		err = r.ended(e)
	}
	says(r.t, err, texts...)
}
