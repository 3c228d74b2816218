package pebble

import (
	"log/slog"
	"time"

	pebbledb "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/seed-73111be4/kappa/state"
)

// Options say whose directory it is and how much memory to use.
type Options struct {
	App        string       // identity of the app that owns the directory; it must not change
	CacheBytes int64        // of blocks and memtables together; default 256 MiB, least 8 MiB
	Clock      state.Clock  // default time.Now
	Log        *slog.Logger // default: discards
	FS         vfs.FS       // default: the disk; tests inject theirs
}

func (o Options) withDefaults() Options {
	if o.CacheBytes <= 0 {
		o.CacheBytes = 256 << 20
	}
	o.CacheBytes = max(o.CacheBytes, 8<<20)
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
	return o
}

// memtable returns the size of a memtable. Memtables are reserved from the block
// cache, which must stay far above four of them.
func (o Options) memtable() int64 { return min(o.CacheBytes/16, 32<<20) }

const never = 1 << 20

// pebble returns the settings of the database. Writers never wait inside Pebble,
// where an error could not wake them: the stop thresholds are out of reach, and
// DB.Apply holds writers back itself.
func (o Options) pebble(f *failure) *pebbledb.Options {
	p := &pebbledb.Options{
		CacheSize:                   o.CacheBytes,
		MemTableSize:                uint64(o.memtable()),
		MemTableStopWritesThreshold: never,
		L0CompactionThreshold:       8,
		L0StopWritesThreshold:       never,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 1 },
		DisableWAL:                  true,
		FormatMajorVersion:          pebbledb.FormatNewest,
		FS:                          guardFS{FS: o.FS, failure: f},
		Logger:                      pebbleLog{o.Log, f},
		EventListener:               f.listener(),
		MaxOpenFiles:                1000,
	}
	p.ApplyCompressionSettings(func() pebbledb.DBCompressionSettings { return pebbledb.DBCompressionNone })
	for i := range p.Levels {
		p.Levels[i].BlockSize = 16 << 10
		p.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	return p
}
