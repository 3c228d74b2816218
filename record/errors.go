package record

import "errors"

var (
	// ErrOffsetOutOfRange is returned by a LogReader whose position the log no
	// longer has, or does not have yet: what was built from it must be rebuilt.
	ErrOffsetOutOfRange = errors.New("offset out of range")
	// ErrUnknownTopic says that a topic or partition does not exist.
	ErrUnknownTopic = errors.New("unknown topic or partition")
	// ErrRecreated says that a topic was deleted and created again: its offsets
	// mean other records now.
	ErrRecreated = errors.New("topic was recreated")
)
