package topology

import (
	"fmt"
	"strings"
)

// Mistake is one thing that is wrong with a definition.
type Mistake struct {
	Group   string // the group's name
	Edge    string // the edge, as in `input "clicks"`; "" where it is the group's
	Problem string
	Hint    string // how to mend it
}

// Error names the group, the edge, the problem and the way out.
func (m *Mistake) Error() string {
	where := fmt.Sprintf("group %q", m.Group)
	if m.Edge != "" {
		where += ": " + m.Edge
	}
	return fmt.Sprintf("%s: %s (%s)", where, m.Problem, m.Hint)
}

// Mistakes is the error of Build: everything that it found, in the order of the
// edges.
type Mistakes []*Mistake

// Error lists the mistakes, one a line.
func (m Mistakes) Error() string {
	if len(m) == 1 {
		return m[0].Error()
	}
	lines := make([]string, 0, len(m)+1)
	lines = append(lines, fmt.Sprintf("the topology has %d mistakes:", len(m)))
	for _, one := range m {
		lines = append(lines, "  "+one.Error())
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns each mistake, for errors.As.
func (m Mistakes) Unwrap() []error {
	errs := make([]error, len(m))
	for i, one := range m {
		errs[i] = one
	}
	return errs
}
