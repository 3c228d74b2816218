package archiver

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// Patterns choose topics by name: * stands for any characters, ? for one, [a-z] for one
// of a range. A pattern that begins with ! excludes.
type Patterns []string

// Validate returns the first mistake.
func (ps Patterns) Validate() error {
	chosen := false
	for _, p := range ps {
		name, not := strings.CutPrefix(p, "!")
		if _, err := path.Match(name, ""); err != nil || name == "" {
			return fmt.Errorf("%q is no pattern: use names, *, ? and [a-z]", p)
		}
		chosen = chosen || !not
	}
	if !chosen {
		return errors.New("no topics named: name them, or a pattern such as '*'")
	}
	return nil
}

// Match reports whether the patterns choose a topic.
func (ps Patterns) Match(topic string) bool {
	chosen := false
	for _, p := range ps {
		name, not := strings.CutPrefix(p, "!")
		if ok, _ := path.Match(name, topic); ok {
			if not {
				return false
			}
			chosen = true
		}
	}
	return chosen
}

// Literal returns the names that are no patterns: topics that ought to exist.
func (ps Patterns) Literal() []string {
	var names []string
	for _, p := range ps {
		if !strings.ContainsAny(p, `*?[\!`) {
			names = append(names, p)
		}
	}
	return names
}
