package pebble_test

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/seed-73111be4/kappa/state"
	"github.com/seed-73111be4/kappa/state/pebble"
	"github.com/seed-73111be4/kappa/state/statetest"
)

func TestAcceptanceInMemory(t *testing.T) {
	statetest.Run(t, func(t *testing.T) state.DB {
		return open(t, "dir", pebble.Options{App: "test", FS: vfs.NewMem()})
	})
}

func TestAcceptanceOnDisk(t *testing.T) {
	statetest.Run(t, func(t *testing.T) state.DB {
		return open(t, t.TempDir(), pebble.Options{App: "test"})
	})
}

func open(t testing.TB, dir string, o pebble.Options) *pebble.DB {
	t.Helper()
	if o.CacheBytes == 0 {
		o.CacheBytes = 16 << 20
	}
	db, err := pebble.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
