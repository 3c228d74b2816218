package topology

import (
	"crypto/sha256"
	"fmt"
	"strings"
)

// fingerprint names the shape that instances of a group must share: what is
// consumed and how, what state is kept, how keys are placed. It reads, for
// instance,
//
//	1-in2-join1-table-store1-loop-9f86d081884c7d65
//
// the version of the rule, the number of streams, joins and stores, and the first
// 8 bytes of the SHA-256 of shape's text. Outputs, lookups, visitors, the error
// policy and the start are left out: instances may differ in them while a new
// version is rolled out, for neither assignment nor state hangs on them.
func fingerprint(p *Plan) string {
	sum := sha256.Sum256([]byte(shape(p)))
	parts := []string{"1"}
	count := func(name string, n int) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%s%d", name, n))
		}
	}
	flag := func(name string, is bool) {
		if is {
			parts = append(parts, name)
		}
	}
	count("in", inputsOf(p, StreamInput))
	count("join", inputsOf(p, JoinInput))
	flag("table", p.Table != nil)
	count("store", len(p.Stores))
	flag("loop", p.Loop != nil)
	return strings.Join(append(parts, fmt.Sprintf("%x", sum[:8])), "-")
}

// shape is the text under the fingerprint: a line each for the group, the
// consumed topics by name, the table, the stores by name, and the hasher.
func shape(p *Plan) string {
	var s strings.Builder
	fmt.Fprintf(&s, "group %s\n", p.Group)
	for _, in := range p.Inputs {
		fmt.Fprintf(&s, "%s %s\n", in.Kind, in.Topic)
	}
	if p.Table != nil {
		fmt.Fprintf(&s, "table %s\n", p.Table.Topic)
	}
	for _, st := range p.Stores {
		fmt.Fprintf(&s, "store %s\n", st.Name)
	}
	fmt.Fprintf(&s, "hasher %s\n", p.Hasher.Name)
	return s.String()
}

func inputsOf(p *Plan, k InputKind) int {
	n := 0
	for _, in := range p.Inputs {
		if in.Kind == k {
			n++
		}
	}
	return n
}

// String returns "stream", "join" or "loop".
func (k InputKind) String() string {
	switch k {
	case StreamInput:
		return "stream"
	case JoinInput:
		return "join"
	case LoopInput:
		return "loop"
	}
	return "unknown"
}

// String returns "fail" or "dead-letter".
func (p ErrorPolicy) String() string {
	if p == DeadLetters {
		return "dead-letter"
	}
	return "fail"
}

// String returns "earliest" or "latest".
func (s Start) String() string {
	if s == Latest {
		return "latest"
	}
	return "earliest"
}
