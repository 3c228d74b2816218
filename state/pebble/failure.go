package pebble

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	pebbledb "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// retryEvery is the pause between Pebble's attempts to write on a failed disk; it
// would retry at once, and for ever.
const retryEvery = 500 * time.Millisecond

// failure collects what goes wrong inside Pebble, which has no caller there that
// an error could be returned to.
type failure struct {
	mu     sync.Mutex // guards what follows
	err    error
	final  bool // only opening again helps
	failed chan struct{}

	onCorruption func()

	closing   chan struct{}
	closeOnce sync.Once
}

func newFailure() *failure {
	return &failure{failed: make(chan struct{}), closing: make(chan struct{})}
}

// set notes an error. The first final one stays.
func (f *failure) set(err error, final bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.final {
		return
	}
	if f.err == nil {
		close(f.failed)
	}
	f.err, f.final = err, final
}

// clear takes back an error that is not final: a write has worked.
func (f *failure) clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil || f.final {
		return
	}
	f.err, f.failed = nil, make(chan struct{})
}

// state returns the error, and a channel that is closed when there is one.
func (f *failure) state() (final bool, failed <-chan struct{}, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.final, f.failed, f.err
}

func (f *failure) check() error {
	_, _, err := f.state()
	if err != nil {
		return fmt.Errorf("the disk fails, free or mend it: %w", err)
	}
	return nil
}

func (f *failure) close() { f.closeOnce.Do(func() { close(f.closing) }) }

// pause holds a writer of Pebble's back while the disk fails. It returns an error
// where the attempt is not worth making.
func (f *failure) pause() error {
	final, _, err := f.state()
	if err == nil {
		return nil
	}
	if final {
		<-f.closing
		return err
	}
	t := time.NewTimer(retryEvery)
	defer t.Stop()
	select {
	case <-f.closing:
		return err
	case <-t.C:
		return nil
	}
}

func (f *failure) corrupt(err error) {
	f.set(fmt.Errorf("corrupt, it will be rebuilt when it is opened again: %w", err), true)
	f.onCorruption()
}

func (f *failure) listener() *pebbledb.EventListener {
	return &pebbledb.EventListener{
		BackgroundError: func(err error) { f.set(err, false) },
		DataCorruption:  func(i pebbledb.DataCorruptionInfo) { f.corrupt(i.Details) },
		FlushEnd: func(i pebbledb.FlushInfo) {
			if i.Err == nil {
				f.clear()
			}
		},
		CompactionEnd: func(i pebbledb.CompactionInfo) {
			if i.Err == nil {
				f.clear()
			}
		},
	}
}

// guardFS slows Pebble's retries down. New files are where they begin.
type guardFS struct {
	vfs.FS
	failure *failure
}

func (g guardFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := g.failure.pause(); err != nil {
		return nil, err
	}
	return g.FS.Create(name, c)
}

func (g guardFS) Unwrap() vfs.FS { return g.FS }

// pebbleLog turns what Pebble would end the process for into a final failure.
type pebbleLog struct {
	log     *slog.Logger
	failure *failure
}

func (l pebbleLog) Infof(format string, args ...any) {}

func (l pebbleLog) Errorf(format string, args ...any) {
	l.log.Error("pebble: " + fmt.Sprintf(format, args...))
}

func (l pebbleLog) Fatalf(format string, args ...any) {
	err := fmt.Errorf("pebble: "+format, args...)
	l.log.Error(err.Error())
	l.failure.set(err, true)
}
