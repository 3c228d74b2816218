package integration

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/internal/testenv"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/topology"
)

// lockedBuffer is written by many goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestKeysPlacedByAnotherHasherAreNamed(t *testing.T) {
	for _, c := range []struct {
		group record.Hasher
		warns bool
	}{{record.FNV1a, true}, {record.Murmur2, false}} {
		t.Run(c.group.Name, func(t *testing.T) {
			r := newRig(t, testenv.Fake(t))
			in, group := r.topic("in", 8), r.name("count")
			e, err := r.k.NewEmitter(kafka.EmitterConfig{Hasher: record.Murmur2})
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			for _, x := range numbers(in, 100, 100) {
				if err := e.Emit(r.ctx, x); err != nil {
					t.Fatal(err)
				}
			}
			if err := e.Flush(r.ctx); err != nil {
				t.Fatal(err)
			}
			var log lockedBuffer
			o := r.fast("")
			o.Log = slog.New(slog.NewTextHandler(&log, nil))
			run := r.start(o, counting(group, in, topology.WithHasher(c.group)))
			r.processed(100, group, run)
			r.stop(run)
			if got := strings.Contains(log.String(), "topology.WithHasher"); got != c.warns {
				t.Errorf("warned: %v, want %v; log:\n%s", got, c.warns, log.String())
			}
		})
	}
}
