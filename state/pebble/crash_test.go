package pebble_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/seed-73111be4/kappa/state"
	"github.com/seed-73111be4/kappa/state/pebble"
)

// TestCrashLeavesAPrefixOfTheBatches writes numbered batches, each over many keys,
// crashes at random moments and checks that what is left is whole batches, without
// a gap, and at least what was synced.
func TestCrashLeavesAPrefixOfTheBatches(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { crash(t, seed) })
	}
}

func crash(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	fs := vfs.NewCrashableMem()
	next := 0
	for range 4 {
		db := open(t, "dir", pebble.Options{App: "test", FS: fs, CacheBytes: 8 << 20})
		s, err := db.Open("s")
		must(t, err)
		if next > 0 {
			got := checkPrefix(t, s)
			if got > next {
				t.Fatalf("batch %d was never written", got)
			}
			next = got
		}
		synced := 0
		for range rnd.IntN(40) {
			next++
			must(t, s.Apply(numbered(next, rnd.IntN(2000))))
			if rnd.IntN(10) == 0 {
				must(t, s.Sync())
				synced = next
			}
		}
		crashed := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rnd.IntN(101), RNG: rnd})
		must(t, s.Close())
		must(t, db.Close())
		fs = crashed
		verify(t, fs, synced, next)
	}
}

func verify(t *testing.T, fs vfs.FS, synced, written int) {
	t.Helper()
	db := open(t, "dir", pebble.Options{App: "test", FS: fs, CacheBytes: 8 << 20})
	s, err := db.Open("s")
	must(t, err)
	if got := checkPrefix(t, s); got < synced || got > written {
		t.Fatalf("the store stands at batch %d, synced %d, written %d", got, synced, written)
	}
	must(t, s.Close())
	must(t, db.Close())
}

// numbered returns batch n: it says so under several keys, and fills up.
func numbered(n, fill int) *state.Batch {
	var b state.Batch
	for k := range 5 {
		b.Set(fmt.Appendf(nil, "last-%d", k), fmt.Append(nil, n))
	}
	b.Set(fmt.Appendf(nil, "batch-%06d", n), make([]byte, fill*10))
	return &b
}

// checkPrefix returns the number of the last batch, after checking that it is
// whole and that none before it is missing.
func checkPrefix(t *testing.T, s state.Store) int {
	t.Helper()
	last := -1
	for k := range 5 {
		n := 0
		v, found, err := s.Get(fmt.Appendf(nil, "last-%d", k), nil)
		must(t, err)
		if found {
			fmt.Sscan(string(v), &n)
		}
		if last >= 0 && n != last {
			t.Fatalf("half a batch: %d and %d", last, n)
		}
		last = n
	}
	it, err := s.Scan(state.Prefix([]byte("batch-")))
	must(t, err)
	n := 0
	for it.Next() {
		if n++; string(it.Key()) != fmt.Sprintf("batch-%06d", n) {
			t.Fatalf("batch %d is missing", n)
		}
	}
	must(t, it.Close())
	if n != last {
		t.Fatalf("%d batches, the last is %d", n, last)
	}
	return last
}

// fullDisk is a disk that refuses writes while it is full.
type fullDisk struct {
	toggle *errorfs.Toggle
	fs     vfs.FS
}

func newFullDisk(kinds ...errorfs.OpKind) fullDisk {
	toggle := &errorfs.Toggle{Injector: errorfs.InjectorFunc(func(op errorfs.Op) error {
		for _, k := range kinds {
			if op.Kind == k {
				return syscall.ENOSPC
			}
		}
		return nil
	})}
	return fullDisk{toggle, errorfs.Wrap(vfs.NewMem(), toggle)}
}

func TestFullDiskIsAnErrorUntilThereIsRoomAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newFullDisk(errorfs.OpCreate, errorfs.OpFileWrite, errorfs.OpFileSync)
		db := open(t, "dir", pebble.Options{App: "test", FS: disk.fs})
		s, err := db.Open("s")
		must(t, err)
		must(t, s.Apply(numbered(1, 10)))
		must(t, s.Sync())

		disk.toggle.On()
		must(t, s.Apply(numbered(2, 10))) // memory only
		if err := s.Sync(); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("Sync on a full disk: %v", err)
		}
		if err := s.Apply(numbered(3, 10)); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("Apply after a failed Sync: %v", err)
		}
		disk.toggle.Off()
		time.Sleep(2 * time.Second) // of the bubble's clock: the retry comes
		synctest.Wait()
		must(t, s.Apply(numbered(3, 10)))
		must(t, s.Sync())
		if got := checkPrefix(t, s); got != 3 {
			t.Fatalf("the store stands at batch %d, want 3", got)
		}
		must(t, s.Close())
		must(t, db.Close())
	})
}

func TestFullDiskNeitherEndsTheProcessNorBlocksAWriterOrClose(t *testing.T) {
	disk := newFullDisk(errorfs.OpCreate, errorfs.OpFileWrite, errorfs.OpFileSync)
	db := open(t, "dir", pebble.Options{App: "test", FS: disk.fs, CacheBytes: 8 << 20})
	s, err := db.Open("s")
	must(t, err)
	must(t, s.Apply(numbered(1, 10)))
	must(t, s.Sync())
	disk.toggle.On()
	var failed error
	for n := 2; n < 1000 && failed == nil; n++ { // far more than memtables may hold
		failed = s.Apply(numbered(n, 10_000))
	}
	if !errors.Is(failed, syscall.ENOSPC) {
		t.Fatalf("writing on to a full disk: %v", failed)
	}
	must(t, s.Close())
	if err := db.Close(); err == nil {
		t.Fatal("Close does not tell that data was not written")
	}
	disk.toggle.Off()
	verify(t, disk.fs, 1, 1000)
}

// TestFailedManifestIsFinal fails the write after which Pebble would end the
// process: the outcome is unknown, so only opening again helps.
func TestFailedManifestIsFinal(t *testing.T) {
	mem := vfs.NewMem()
	toggle := &errorfs.Toggle{Injector: errorfs.InjectorFunc(func(op errorfs.Op) error {
		if strings.Contains(op.Path, "MANIFEST") && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			return syscall.EIO
		}
		return nil
	})}
	db := open(t, "dir", pebble.Options{App: "test", FS: errorfs.Wrap(mem, toggle)})
	s, err := db.Open("s")
	must(t, err)
	must(t, s.Apply(numbered(1, 10)))
	must(t, s.Sync())
	toggle.On()
	must(t, s.Apply(numbered(2, 10)))
	if err := s.Sync(); err == nil {
		t.Fatal("a failed manifest write was not told")
	}
	toggle.Off()
	if err := s.Apply(numbered(3, 10)); err == nil {
		t.Fatal("writing went on after the manifest's fate was lost")
	}
	must(t, s.Close())
	if err := db.Close(); err == nil {
		t.Fatal("Close does not tell the failure")
	}
	verify(t, mem, 1, 2)
}
