package state

import "encoding/binary"

// The first byte of a key in a task's store says which keyspace it is in. The
// numbers are a durable format (docs/format/store.md): never reuse one.
const (
	KindMeta      = 0x00 // what the store itself knows, never in a changelog
	KindTable     = 0x01 // the group table: kind, key
	KindStore     = 0x02 // a named store: kind, name, key
	KindJoin      = 0x03 // a co-partitioned input table: kind, topic, key; its topic is its log
	KindTimer     = 0x04 // reserved for timers
	KindPositions = 0x05 // the committed positions of the task
)

// TableKey appends the store key of a group table's key.
func TableKey(dst, key []byte) []byte {
	return append(append(dst, KindTable), key...)
}

// NamedKey appends the store key of a key in a named store.
func NamedKey(dst []byte, name string, key []byte) []byte {
	return append(named(dst, KindStore, name), key...)
}

// JoinKey appends the store key of a key in a co-partitioned input table.
func JoinKey(dst []byte, topic string, key []byte) []byte {
	return append(named(dst, KindJoin, topic), key...)
}

// PositionsKey appends the store key of the task's committed positions.
func PositionsKey(dst []byte) []byte { return append(dst, KindPositions) }

func named(dst []byte, kind byte, name string) []byte {
	dst = append(dst, kind)
	dst = binary.AppendUvarint(dst, uint64(len(name)))
	return append(dst, name...)
}
