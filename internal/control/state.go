package control

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/record"
)

// State is all that the control topic says.
type State struct {
	Aliases Aliases
	Resets  map[string]*Reset // by group
	Shapes  map[string]*Shape // by group
}

// ReadAll returns what the topic says as of now; nothing where there is none. Where a
// transaction is open in it, it waits for its end.
func ReadAll(ctx context.Context, c *kafka.Cluster) (*State, error) {
	s := newState()
	reader, err := load(ctx, c, s.fold)
	if err != nil {
		if errors.Is(err, record.ErrUnknownTopic) {
			return newState(), nil
		}
		return nil, fmt.Errorf("read %s: %w", Topic, err)
	}
	reader.Close()
	return s, nil
}

func newState() *State {
	return &State{Aliases{}, map[string]*Reset{}, map[string]*Shape{}}
}

func (s *State) fold(b record.Batch) (changed bool, err error) {
	for i := range b.Records {
		if err := s.apply(&b.Records[i]); err != nil {
			return changed, err
		}
	}
	return len(b.Records) > 0, nil
}

// apply folds a record of the topic into the state.
func (s *State) apply(r *record.Record) error {
	key := string(r.Key)
	if group, ok := strings.CutPrefix(key, resetKind); ok {
		if err := set(s.Resets, group, r, parseReset); err != nil {
			return fmt.Errorf("reset of %q: %w", group, err)
		}
		return nil
	}
	if group, ok := strings.CutPrefix(key, shapeKind); ok {
		if err := set(s.Shapes, group, r, parseShape); err != nil {
			return fmt.Errorf("shape of %q: %w", group, err)
		}
		return nil
	}
	_, err := s.Aliases.apply(r)
	return err
}

func set[T any](m map[string]*T, group string, r *record.Record, parse func(string, []byte) (*T, error)) error {
	if r.Tombstone() {
		delete(m, group)
		return nil
	}
	v, err := parse(group, r.Value)
	if err == nil {
		m[group] = v
	}
	return err
}

// SetShape writes a group's shape. The control topic must exist.
func SetShape(ctx context.Context, c *kafka.Cluster, s *Shape) error {
	r, err := s.Record(time.Now())
	if err == nil {
		err = put(ctx, c, r)
	}
	if err != nil {
		return fmt.Errorf("write the shape of group %s to %s: %w", s.Group, Topic, err)
	}
	return nil
}
