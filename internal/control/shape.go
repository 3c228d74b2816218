package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/seed-73111be4/kappa/record"
)

// Shape is what a group reads and writes as it last ran, for tools that do not have
// its topology. The group's processes write it when they start.
type Shape struct {
	Group       string
	Fingerprint string // of the topology
	Partitions  int32  // of its inputs
	Inputs      []ShapeInput
	Table       string   // topic of the table, "" where the group has none
	State       string   // the state topic
	Outputs     []string // sorted, without the group's own topics
}

// ShapeInput is a topic that a group reads by partitions.
type ShapeInput struct {
	Topic string    `json:"topic"`
	Kind  ShapeKind `json:"kind"`
}

// ShapeKind says how a group reads a topic.
type ShapeKind string

const (
	StreamShape ShapeKind = "stream" // each record is processed
	JoinShape   ShapeKind = "join"   // each record updates a co-partitioned table
	LoopShape   ShapeKind = "loop"   // as a stream, but written by the group itself
)

const shapeKind = "shape/"

// shapeJSON is the durable form of a shape; its key holds the group.
type shapeJSON struct {
	Magic       string       `json:"magic"`
	Version     int          `json:"version"`
	Fingerprint string       `json:"fingerprint"`
	Partitions  int32        `json:"partitions"`
	Inputs      []ShapeInput `json:"inputs"`
	Table       string       `json:"table,omitempty"`
	State       string       `json:"state"`
	Outputs     []string     `json:"outputs,omitempty"`
}

// Record returns the record that says so in the control topic, as of now.
func (s *Shape) Record(now time.Time) (record.Record, error) {
	value, err := json.Marshal(shapeJSON{magic, version, s.Fingerprint, s.Partitions, s.Inputs, s.Table, s.State, s.Outputs})
	return record.Record{Topic: Topic, Key: []byte(shapeKind + s.Group), Value: value, Timestamp: now.UnixMilli()}, err
}

func parseShape(group string, value []byte) (*Shape, error) {
	var j shapeJSON
	if err := json.Unmarshal(value, &j); err != nil {
		return nil, err
	}
	if err := checkHead(j.Magic, j.Version); err != nil {
		return nil, err
	}
	if group == "" || j.State == "" || len(j.Inputs) == 0 {
		return nil, errors.New("its group, its state topic or its inputs are empty")
	}
	for _, in := range j.Inputs {
		if in.Topic == "" || in.Kind != StreamShape && in.Kind != JoinShape && in.Kind != LoopShape {
			return nil, fmt.Errorf("input %q of kind %q", in.Topic, in.Kind)
		}
	}
	return &Shape{group, j.Fingerprint, j.Partitions, j.Inputs, j.Table, j.State, j.Outputs}, nil
}

// Equal reports whether two shapes say the same.
func (s *Shape) Equal(o *Shape) bool { return s != nil && o != nil && reflect.DeepEqual(s, o) }
