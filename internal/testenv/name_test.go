package testenv

import (
	"regexp"
	"strings"
	"testing"
)

func TestNamesAreLegalAndUnique(t *testing.T) {
	legal := regexp.MustCompile(`^[a-z0-9.-]{1,100}$`)
	for _, sub := range []string{"plain", "with spaces/and_more: ü", strings.Repeat("long", 100)} {
		t.Run(sub, func(t *testing.T) {
			a, b := Name(t), Name(t)
			if a == b || !legal.MatchString(a) || !legal.MatchString(b) {
				t.Errorf("names %q, %q", a, b)
			}
		})
	}
}
