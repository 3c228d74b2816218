package web

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed-73111be4/kappa/views"
)

const (
	defaultLimit = 100
	maxLimit     = 10_000
	maxWait      = 5 * time.Minute
)

// request are the parameters of a read. Each may be given once.
type request struct {
	views.Query
	cursor string // goes before From
	key    string
	hasKey bool
	wait   time.Duration
}

// parameters of a view's path, with what they set.
func (r *request) parameters() map[string]func(string) error {
	text := func(to *string) func(string) error {
		return func(s string) error { *to = s; return nil }
	}
	binary := func(to *string) func(string) error {
		return func(s string) (err error) { *to, err = decode64(s); return err }
	}
	key := func(set func(string) error) func(string) error {
		return func(s string) error { r.hasKey = true; return set(s) }
	}
	return map[string]func(string) error{
		"prefix": text(&r.Prefix), "prefix64": binary(&r.Prefix),
		"from": text(&r.From), "from64": binary(&r.From), "cursor": binary(&r.cursor),
		"to": text(&r.To), "to64": binary(&r.To),
		"key": key(text(&r.key)), "key64": key(binary(&r.key)),
		"limit": r.setLimit, "wait": r.setWait,
	}
}

func (r *request) setLimit(s string) (err error) {
	if r.Limit, err = strconv.Atoi(s); err != nil || r.Limit < 1 || r.Limit > maxLimit {
		return fmt.Errorf("use a number from 1 to %d", maxLimit)
	}
	return nil
}

func (r *request) setWait(s string) (err error) {
	if r.wait, err = time.ParseDuration(s); err != nil || r.wait < 0 || r.wait > maxWait {
		return fmt.Errorf("use a duration up to %s, such as 500ms or 5s", maxWait)
	}
	return nil
}

// excluding are parameters that set the same thing.
var excluding = [...][]string{{"prefix", "prefix64"}, {"from", "from64"}, {"to", "to64"}, {"key", "key64"}}

func parse(r *http.Request) (*request, *problem) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, bad("the query string cannot be read: "+err.Error(), "escape keys as in URLs, or give them in base 64 (prefix64, from64, to64, key64)")
	}
	out := &request{Query: views.Query{Limit: defaultLimit}}
	known := out.parameters()
	for _, name := range sorted(values) {
		set := known[name]
		if set == nil {
			return nil, bad(fmt.Sprintf("there is no parameter %q", name), "use "+strings.Join(sorted(known), ", "))
		}
		if len(values[name]) > 1 {
			return nil, bad(fmt.Sprintf("parameter %s is given %d times", name, len(values[name])), "give it once")
		}
		if err := set(values[name][0]); err != nil {
			return nil, bad(fmt.Sprintf("parameter %s=%s: %v", name, values[name][0], err), "")
		}
	}
	for _, names := range excluding {
		given := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !values.Has(n) })
		if len(given) > 1 {
			return nil, bad(fmt.Sprintf("parameters %s exclude each other", strings.Join(given, " and ")), "give one of them")
		}
	}
	if out.cursor != "" {
		out.From = out.cursor
	}
	return out, nil
}

func bad(text, hint string) *problem { return &problem{http.StatusBadRequest, text, hint, nil} }

func sorted[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}
