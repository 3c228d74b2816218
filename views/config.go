package views

import (
	"errors"
	"log/slog"
	"time"

	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/state"
)

// Codec decodes a table's values; every goka.Codec is one. It must be safe for
// concurrent use.
type Codec interface {
	Decode(data []byte) (any, error)
}

// Config says what a view shows and where it keeps its copy.
type Config struct {
	// Logs is the cluster that holds the table. Required.
	Logs *kafka.Cluster
	// Table is an alias, a topic or a group (whose table is "<group>-table").
	// Required.
	Table string
	// DB holds the copy, in a store whose name starts with "view/". Required. The
	// caller closes it, after the view.
	DB state.DB
	// Codec decodes values for Get and Scan. Nil: values are the raw bytes.
	Codec Codec
	// CacheBytes bounds the memory for keys that were read or written, which is
	// taken as it is needed. An entry costs about 10 bytes beyond key and value, 96
	// where the key is longer than 127 bytes or the value than 254. Default 32 MiB:
	// a million keys of 8 to 16 bytes with values of 8. Less than 256 KiB hold next
	// to nothing; less than 0 switches the cache off, as is right for a view that is
	// read once.
	CacheBytes int64
	// Buffer is the number of changes that wait for a slow subscriber before it
	// is told [ErrLagging]. Default 4096.
	Buffer int
	// CheckEvery is how often the view compares itself with the ends of the log
	// and makes its copy durable. Default one minute.
	CheckEvery time.Duration
	// Clock tells the time. Default time.Now.
	Clock state.Clock
	// Log receives what an operator should know. Default: nothing is logged.
	Log *slog.Logger
}

const (
	defaultCacheBytes = 32 << 20
	defaultBuffer     = 4096
	defaultCheckEvery = time.Minute
)

func (c Config) withDefaults() (Config, error) {
	var errs []error
	if c.Table == "" {
		errs = append(errs, errors.New("views: Config.Table is empty: name an alias, a group or a topic"))
	}
	if c.DB == nil {
		errs = append(errs, errors.New("views: Config.DB is nil: open one with state.NewMemory or state/pebble"))
	}
	if c.CacheBytes == 0 {
		c.CacheBytes = defaultCacheBytes
	}
	if c.Buffer <= 0 {
		c.Buffer = defaultBuffer
	}
	if c.CheckEvery <= 0 {
		c.CheckEvery = defaultCheckEvery
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, errors.Join(errs...)
}
