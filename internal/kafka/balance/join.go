package balance

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	joinMagic   = "KPAJ"
	joinVersion = 1
)

// Join is what a member says of itself when it joins a group.
type Join struct {
	// Instance names the process for people and orders members; for a static
	// member it is the group instance id.
	Instance string
	// Incarnation is a random number that a process draws once: an assignment
	// echoes it, so a member knows whether the assignment was made for it or for
	// a predecessor of the same instance.
	Incarnation uint64
	// Revision is raised to make a join differ from the one before it.
	Revision uint32
	// Shape is the member's topology.
	Shape Shape
	// Owned are the partitions that the member may be processing, by topic.
	Owned map[string][]int32
	// Generation is the group generation in which Owned was assigned, -1 where
	// nothing ever was.
	Generation int32
	// Fresh says of which tasks the member has a local copy that it does not own,
	// and how far each reflects the task's logs: the sum of the next offsets. Of
	// two members without a claim the fresher one gets the task.
	Fresh map[int32]int64
	// Standbys is how many members besides its owner are to follow each task; the
	// largest number in the group counts.
	Standbys int32
}

// AppendTo appends the join metadata's bytes: Kafka's own consumer metadata with
// ours as user data.
func (j Join) AppendTo(b []byte) []byte {
	shape := j.Shape.sorted()
	meta := kmsg.NewConsumerMemberMetadata()
	meta.Version = 2
	meta.Topics = shape.Inputs
	meta.Generation = j.Generation
	for _, topic := range slices.Sorted(maps.Keys(j.Owned)) {
		if len(j.Owned[topic]) == 0 {
			continue
		}
		owned := kmsg.NewConsumerMemberMetadataOwnedPartition()
		owned.Topic, owned.Partitions = topic, slices.Sorted(slices.Values(j.Owned[topic]))
		meta.OwnedPartitions = append(meta.OwnedPartitions, owned)
	}
	meta.UserData = j.appendUserData(nil, shape)
	return meta.AppendTo(b)
}

func (j Join) appendUserData(b []byte, shape Shape) []byte {
	b = append(b, joinMagic...)
	b = append(b, joinVersion)
	b = binary.BigEndian.AppendUint64(b, j.Incarnation)
	b = binary.BigEndian.AppendUint32(b, j.Revision)
	b = appendString(b, j.Instance)
	b = appendString(b, shape.Fingerprint)
	b = appendString(b, shape.Hasher)
	b = appendString(b, shape.Table)
	b = binary.AppendUvarint(b, uint64(len(shape.Inputs)))
	for _, topic := range shape.Inputs {
		b = append(b, byte(shape.kind(topic)))
		b = appendString(b, topic)
	}
	b = appendStrings(b, shape.Stores)
	var optional tagged
	if len(j.Fresh) > 0 {
		optional.add(freshTag, appendFresh(nil, j.Fresh))
	}
	if j.Standbys > 0 {
		optional.add(standbysTag, binary.AppendUvarint(nil, uint64(j.Standbys)))
	}
	return optional.appendTo(b)
}

// DecodeJoin reads join metadata. Where only our part of it cannot be read, the
// result still tells what the member owns.
func DecodeJoin(b []byte) (Join, error) {
	var meta kmsg.ConsumerMemberMetadata
	if err := meta.ReadFrom(b); err != nil {
		return Join{Generation: -1}, fmt.Errorf("join metadata: %w", err)
	}
	j := Join{Generation: meta.Generation, Owned: make(map[string][]int32, len(meta.OwnedPartitions))}
	for _, o := range meta.OwnedPartitions {
		j.Owned[o.Topic] = append(j.Owned[o.Topic], o.Partitions...)
	}
	if meta.Version < 2 {
		return j, fmt.Errorf("join metadata: version %d has no generation", meta.Version)
	}
	if err := j.decodeUserData(meta.UserData); err != nil {
		return j, fmt.Errorf("join metadata: user data: %w", err)
	}
	return j, nil
}

func (j *Join) decodeUserData(b []byte) error {
	r := &reader{b: b}
	r.header(joinMagic, joinVersion)
	j.Incarnation, j.Revision = r.uint64(), r.uint32()
	j.Instance = r.string()
	j.Shape.Fingerprint, j.Shape.Hasher, j.Shape.Table = r.string(), r.string(), r.string()
	j.Shape.decodeInputs(r)
	j.Shape.Stores = r.strings()
	r.tagged(map[uint64]func(*reader){
		freshTag:    func(f *reader) { j.Fresh = f.fresh() },
		standbysTag: func(f *reader) { j.Standbys = f.task() },
	})
	return r.end()
}

func (s *Shape) decodeInputs(r *reader) {
	for n := r.count(); n > 0 && r.err == nil; n-- {
		kind, topic := inputKind(r.uint8()), r.string()
		switch {
		case r.err != nil:
			return
		case kind == noInput || kind >= inputKinds:
			r.err = fmt.Errorf("input %q of unknown kind %d", topic, kind)
		case kind == joinInput:
			s.Joins = append(s.Joins, topic)
		case kind == loopInput && s.Loop != "":
			r.err = fmt.Errorf("two loops, %q and %q", s.Loop, topic)
		case kind == loopInput:
			s.Loop = topic
		}
		s.Inputs = append(s.Inputs, topic)
	}
}
