package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/seed-73111be4/kappa/record"
)

// Alias says which table is behind a name.
type Alias struct {
	Name       string    // as readers know it
	Table      string    // topic
	Generation uint64    // 1 for the first table, one more with each move
	Since      time.Time // when it was set, milliseconds, UTC
}

// Aliases are the aliases of a cluster by name.
type Aliases map[string]Alias

// ErrVersion says that a record was written by a later version of kappa.
var ErrVersion = errors.New("written by a later version of kappa: update this program")

const (
	magic     = "kappa-control"
	version   = 1
	aliasKind = "alias/" // prefix of the record keys
)

// aliasJSON is the durable form of an alias; its key holds the name.
type aliasJSON struct {
	Magic      string `json:"magic"`
	Version    int    `json:"version"`
	Table      string `json:"table"`
	Generation uint64 `json:"generation"`
	SinceMs    int64  `json:"since_ms"`
}

func (a Alias) key() []byte { return []byte(aliasKind + a.Name) }

func (a Alias) value() ([]byte, error) {
	return json.Marshal(aliasJSON{magic, version, a.Table, a.Generation, a.Since.UnixMilli()})
}

// Record returns the record that says so in the control topic.
func (a Alias) Record() (record.Record, error) {
	value, err := a.value()
	return record.Record{Topic: Topic, Key: a.key(), Value: value, Timestamp: a.Since.UnixMilli()}, err
}

// parse reads the record of an alias; ok is false for a record of another kind.
func parse(key, value []byte) (a Alias, ok bool, err error) {
	name, ok := strings.CutPrefix(string(key), aliasKind)
	if !ok {
		return Alias{}, false, nil
	}
	var j aliasJSON
	if err := json.Unmarshal(value, &j); err != nil {
		return Alias{}, false, fmt.Errorf("alias %q: %w", name, err)
	}
	if err := checkHead(j.Magic, j.Version); err != nil {
		return Alias{}, false, fmt.Errorf("alias %q: %w", name, err)
	}
	if name == "" || j.Table == "" {
		return Alias{}, false, fmt.Errorf("alias %q: its name or its table is empty", name)
	}
	return Alias{name, j.Table, j.Generation, time.UnixMilli(j.SinceMs).UTC()}, true, nil
}

// checkHead refuses what is no record of this topic, or a later version's.
func checkHead(m string, v int) error {
	switch {
	case m != magic:
		return fmt.Errorf("its magic is %q, not %q", m, magic)
	case v > version:
		return fmt.Errorf("version %d: %w", v, ErrVersion)
	case v < 1:
		return fmt.Errorf("version %d does not exist", v)
	}
	return nil
}

// apply folds a record of the topic into the aliases.
func (as Aliases) apply(r *record.Record) (changed bool, err error) {
	if r.Tombstone() {
		name, ok := strings.CutPrefix(string(r.Key), aliasKind)
		_, had := as[name]
		delete(as, name)
		return ok && had, nil
	}
	a, ok, err := parse(r.Key, r.Value)
	if !ok || err != nil {
		return false, err
	}
	changed = as[a.Name] != a
	as[a.Name] = a
	return changed, nil
}
