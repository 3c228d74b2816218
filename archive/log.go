package archive

import (
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/seed-73111be4/kappa/record"
)

// Log names one history: a partition of a topic of a cluster. A topic that is deleted
// and created again has another id, so it is another history.
type Log struct {
	Cluster   string
	Topic     string
	TopicID   record.TopicID
	Partition int32
}

// String returns "topic/partition (topic id in cluster)".
func (l Log) String() string {
	return fmt.Sprintf("%s/%d (%s in %s)", l.Topic, l.Partition, l.TopicID, l.Cluster)
}

// Position returns the position before the given offset.
func (l Log) Position(offset int64, epoch int32) record.Position {
	return record.Position{
		Cluster: l.Cluster, Topic: l.Topic, TopicID: l.TopicID, Partition: l.Partition,
		Offset: offset, LeaderEpoch: epoch,
	}
}

// validate says what makes the log no part of a key.
func (l Log) validate() error {
	if !legalName(l.Cluster) {
		return fmt.Errorf("archive: cluster id %q is not made of letters, digits, '.', '_' and '-'", l.Cluster)
	}
	if !legalName(l.Topic) {
		return fmt.Errorf("archive: topic %q is no legal topic name", l.Topic)
	}
	if !l.TopicID.Known() {
		return fmt.Errorf("archive: topic %s has no id; Kafka has given each topic one since 2.8", l.Topic)
	}
	if l.Partition < 0 {
		return fmt.Errorf("archive: partition %d of %s", l.Partition, l.Topic)
	}
	return nil
}

const maxName = 249 // Kafka's limit for topic names

func legalName(s string) bool {
	if s == "" || s == "." || s == ".." || len(s) > maxName {
		return false
	}
	return !strings.ContainsFunc(s, illegal)
}

func illegal(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-')
}

// The layout of keys; docs/format/archive.md.
const (
	root           = "kappa-archive/v1/"
	manifestFolder = "manifest/"
	segmentFolder  = "segment/"
	manifestSuffix = ".manifest"
	segmentSuffix  = ".log"
)

// folder returns the prefix of all keys of the log.
func (l Log) folder() string {
	return fmt.Sprintf("%s%s/%s/%s/%d/", root, l.Cluster, l.Topic, l.TopicID, l.Partition)
}

// manifestKey returns the key of manifest n. Higher numbers sort first, so that the
// newest is the first of a listing.
func (l Log) manifestKey(n uint64) string {
	return fmt.Sprintf("%s%s%016x-%d%s", l.folder(), manifestFolder, math.MaxUint64-n, n, manifestSuffix)
}

// manifestNumber returns the number in a key, false where it is none.
func manifestNumber(key string) (uint64, bool) {
	name, ok := strings.CutSuffix(key[strings.LastIndexByte(key, '/')+1:], manifestSuffix)
	if !ok || len(name) < 18 || name[16] != '-' {
		return 0, false
	}
	n, err := strconv.ParseUint(name[17:], 10, 64)
	return n, err == nil && name == fmt.Sprintf("%016x-%d", math.MaxUint64-n, n)
}

// segmentKey returns the key of a segment: the base offset of its first batch, so that
// Kafka's tools take it for a log file, and an id that no other writer has.
func (l Log) segmentKey(base int64, id SegmentID) string {
	return fmt.Sprintf("%s%s%020d.%s%s", l.folder(), segmentFolder, base, id, segmentSuffix)
}

// segmentName returns base offset and id from a key.
func segmentName(key string) (base int64, id SegmentID, ok bool) {
	name, ok := strings.CutSuffix(key[strings.LastIndexByte(key, '/')+1:], segmentSuffix)
	left, right, found := strings.Cut(name, ".")
	if !ok || !found || len(left) != 20 || len(right) != 16 {
		return 0, 0, false
	}
	base, err := strconv.ParseInt(left, 10, 64)
	if err != nil || base < 0 {
		return 0, 0, false
	}
	n, err := strconv.ParseUint(right, 16, 64)
	return base, SegmentID(n), err == nil
}

// logOf returns the log that a folder below root belongs to: what folder makes.
func logOf(folder string) (Log, bool) {
	parts := strings.Split(strings.TrimSuffix(strings.TrimPrefix(folder, root), "/"), "/")
	if len(parts) != 4 {
		return Log{}, false
	}
	l := Log{Cluster: parts[0], Topic: parts[1]}
	id, err := hex.DecodeString(parts[2])
	if err != nil || len(id) != len(l.TopicID) {
		return Log{}, false
	}
	copy(l.TopicID[:], id)
	p, err := strconv.ParseInt(parts[3], 10, 32)
	l.Partition = int32(p)
	return l, err == nil && l.validate() == nil && l.folder() == folder
}

// SegmentID tells segments apart, whatever offsets they hold. It is random.
type SegmentID uint64

// String returns the id as keys spell it.
func (id SegmentID) String() string { return fmt.Sprintf("%016x", uint64(id)) }

// WriterID tells writers apart. It is random.
type WriterID [16]byte

// String returns the id in hexadecimal.
func (id WriterID) String() string { return hex.EncodeToString(id[:]) }
