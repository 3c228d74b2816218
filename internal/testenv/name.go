package testenv

import (
	"crypto/rand"
	"strings"
	"testing"
)

// nameLimit bounds a name so that suffixes of derived topics have room (Kafka's limit
// is 249).
const nameLimit = 80

// Name returns a name for the test's topics or groups, legal in Kafka: the test's
// own, and a random end, so that no other test on a shared cluster has it, nor the
// same test run twice. Two calls return two names.
func Name(tb testing.TB) string {
	legal := func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '.':
			return r
		}
		return '-' // an underscore too: in metrics' names it collides with the dot
	}
	name := strings.Map(legal, strings.TrimPrefix(tb.Name(), "Test"))
	if len(name) > nameLimit {
		name = name[:nameLimit]
	}
	return strings.ToLower(name + "-" + rand.Text()[:8])
}
