package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed-73111be4/kappa/record"
)

// Reset says where a group stands since it was set to other positions. Only the verb
// reset writes it; the group's processes read it when they start.
type Reset struct {
	Group      string
	Number     uint64    // 1 for the group's first reset, one more with each
	Generation uint64    // of the table and the state: 1 for those that the group began with
	Table      string    // topic of the table, "" where the group has none
	State      string    // the state topic
	At         time.Time // when it was made, milliseconds, UTC
	// To says, by input topic and partition, where the group was set to.
	To map[string][]int64
	// Until says, by input topic and partition, up to which offset the group had read
	// before: what a run after the reset has to reach until it knows as much as readers
	// have seen. 0 where there is nothing to reach.
	Until map[string][]int64
	// Mute keeps outputs silent for input below Until.
	Mute bool
	// Old are topics of other generations, to be deleted once nobody reads them.
	Old []string
}

const resetKind = "reset/"

// resetJSON is the durable form of a reset; its key holds the group.
type resetJSON struct {
	Magic      string             `json:"magic"`
	Version    int                `json:"version"`
	Number     uint64             `json:"number"`
	Generation uint64             `json:"generation"`
	Table      string             `json:"table,omitempty"`
	State      string             `json:"state"`
	AtMs       int64              `json:"at_ms"`
	To         map[string][]int64 `json:"to"`
	Until      map[string][]int64 `json:"until"`
	Mute       bool               `json:"mute"`
	Old        []string           `json:"old,omitempty"`
}

// Record returns the record that says so in the control topic.
func (r *Reset) Record() (record.Record, error) {
	value, err := json.Marshal(resetJSON{magic, version, r.Number, r.Generation, r.Table, r.State, r.At.UnixMilli(), r.To, r.Until, r.Mute, r.Old})
	return record.Record{Topic: Topic, Key: []byte(resetKind + r.Group), Value: value, Timestamp: r.At.UnixMilli()}, err
}

func parseReset(group string, value []byte) (*Reset, error) {
	var j resetJSON
	if err := json.Unmarshal(value, &j); err != nil {
		return nil, err
	}
	if err := checkHead(j.Magic, j.Version); err != nil {
		return nil, err
	}
	switch {
	case group == "" || j.State == "":
		return nil, errors.New("its group or its state topic is empty")
	case j.Number == 0 || j.Generation == 0:
		return nil, fmt.Errorf("number %d, generation %d: both count from 1", j.Number, j.Generation)
	}
	for _, m := range []map[string][]int64{j.To, j.Until} {
		for topic, offsets := range m {
			if i := slices.IndexFunc(offsets, func(o int64) bool { return o < 0 }); i >= 0 {
				return nil, fmt.Errorf("offset %d of %s/%d", offsets[i], topic, i)
			}
		}
	}
	return &Reset{group, j.Number, j.Generation, j.Table, j.State, time.UnixMilli(j.AtMs).UTC(), j.To, j.Until, j.Mute, j.Old}, nil
}

// Goal returns the offset that the group has to reach in a partition, 0 where there is
// none. A nil Reset has none.
func (r *Reset) Goal(p record.Partition) int64 {
	if r == nil {
		return 0
	}
	return at(r.Until, p)
}

func at(offsets map[string][]int64, p record.Partition) int64 {
	if int(p.Partition) >= len(offsets[p.Topic]) {
		return 0
	}
	return offsets[p.Topic][p.Partition]
}

// Left returns how many offsets there were to read when the reset was made, and how many
// are left where the group has committed so far.
func (r *Reset) Left(committed map[record.Partition]int64) (left, total int64) {
	for _, p := range r.Goals() {
		goal, to := r.Goal(p), at(r.To, p)
		next, ok := committed[p]
		if !ok {
			next = to
		}
		left += max(0, goal-next)
		total += max(0, goal-to)
	}
	return left, total
}

// Goals returns all partitions with an offset to reach, by topic and partition.
func (r *Reset) Goals() []record.Partition {
	var parts []record.Partition
	for _, topic := range slices.Sorted(maps.Keys(r.Until)) {
		for p, offset := range r.Until[topic] {
			if offset > 0 {
				parts = append(parts, record.Partition{Topic: topic, Partition: int32(p)})
			}
		}
	}
	return parts
}

// Topics returns the names of a group's table and state topic in a generation.
func Topics(group string, generation uint64) (table, state string) {
	if generation > 1 {
		group += ".g" + strconv.FormatUint(generation, 10)
	}
	return group + tableSuffix, group + stateSuffix
}

// stateSuffix is that of the topic of positions and named stores.
const stateSuffix = "-state"

// GenerationOf returns the generation whose table or state topic of the group a topic
// is, false where it is none.
func GenerationOf(group, topic string) (uint64, bool) {
	for _, suffix := range []string{tableSuffix, stateSuffix} {
		base, ok := strings.CutSuffix(topic, suffix)
		if !ok {
			continue
		}
		if base == group {
			return 1, true
		}
		digits, ok := strings.CutPrefix(base, group+".g")
		if n, err := strconv.ParseUint(digits, 10, 64); ok && err == nil && n > 1 && strconv.FormatUint(n, 10) == digits {
			return n, true
		}
	}
	return 0, false
}
