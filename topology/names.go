package topology

import (
	"fmt"
	"strings"
)

// The suffixes of a group's own topics. They are constants: goka's setters do
// not reach them.
const (
	tableSuffix = "-table"
	loopSuffix  = "-loop"
	stateSuffix = "-state"
)

const (
	maxTopic = 249 // Kafka's limit
	maxGroup = maxTopic - len(tableSuffix)
)

const nameHint = "use letters, digits, '.', '_' and '-' only"

// nameProblem says what is wrong with a name that becomes a topic's or a part of
// one; "" where nothing is.
func nameProblem(name string, limit int) (problem, hint string) {
	switch {
	case name == "":
		return "the name is empty", nameHint
	case name == "." || name == "..":
		return "the name is not legal", nameHint + ", but not '.' or '..' alone"
	case len(name) > limit:
		return fmt.Sprintf("the name has %d characters, at most %d are legal", len(name), limit), "shorten it"
	}
	for _, c := range name {
		if !legal(c) {
			return fmt.Sprintf("the name has the character %q", c), nameHint
		}
	}
	return "", ""
}

func legal(c rune) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '.' || c == '_' || c == '-'
}

// reserved returns the reserved suffix of a topic and the group that owns it, ""
// where it has none.
func reserved(topic string) (suffix, group string) {
	for _, s := range []string{tableSuffix, loopSuffix, stateSuffix} {
		if g, ok := strings.CutSuffix(topic, s); ok {
			return s, g
		}
	}
	return "", ""
}
