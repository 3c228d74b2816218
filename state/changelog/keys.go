package changelog

import (
	"fmt"

	"github.com/seed-73111be4/kappa/state"
)

// LogKind says which log a key of a task's store is written to.
type LogKind uint8

const (
	NoLog    LogKind = iota // joins (their topic is their log) and local bookkeeping
	TableLog                // the group table's topic
	StateLog                // the group's state topic
)

// stateKeyVersion is the first byte of every key in the state topic.
const stateKeyVersion = 0x01

// PositionsKey returns the record key of a task's positions in the state topic.
func PositionsKey() []byte { return []byte{stateKeyVersion, state.KindPositions} }

// ToLog returns the log of a store key and the record key it has there. ok is
// false where the key has no log. A key of the table aliases storeKey.
func ToLog(storeKey []byte) (log LogKind, key []byte, ok bool) {
	switch log := logOf(storeKey); log {
	case TableLog:
		return log, storeKey[1:], true
	case StateLog:
		return log, appendStateKey(nil, storeKey), true
	default:
		return NoLog, nil, false
	}
}

func logOf(storeKey []byte) LogKind {
	if len(storeKey) == 0 {
		return NoLog
	}
	switch storeKey[0] {
	case state.KindTable:
		return TableLog
	case state.KindStore, state.KindTimer, state.KindPositions:
		return StateLog
	default:
		return NoLog
	}
}

func appendStateKey(dst, storeKey []byte) []byte {
	return append(append(dst, stateKeyVersion), storeKey...)
}

// FromTable appends the store key of a record key of the table's topic.
func FromTable(dst, key []byte) []byte { return state.TableKey(dst, key) }

// FromState appends the store key of a record key of the state topic. A key that
// this version does not know is an error: dropping it would lose state.
func FromState(dst, key []byte) ([]byte, error) {
	if len(key) < 2 || key[0] != stateKeyVersion || logOf(key[1:]) != StateLog {
		return dst, fmt.Errorf("key %x of the state topic is of no kind that this version knows; was it written by a newer one?", key)
	}
	return append(dst, key[1:]...), nil
}
