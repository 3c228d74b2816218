package control

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/seed-73111be4/kappa/internal/kafka"
)

// NotFoundError says that a name is no alias, no topic and no group with a table.
type NotFoundError struct {
	Name string
	Near []string // names that a reader may have meant, best first
}

func (e *NotFoundError) Error() string {
	s := fmt.Sprintf("there is no table %q: it is no alias and no topic, and there is no topic %q", e.Name, tableOf(e.Name))
	if len(e.Near) == 0 {
		return s + " (has the group been started once?)"
	}
	return fmt.Sprintf("%s (did you mean %s?)", s, strings.Join(e.Near, ", "))
}

// tableSuffix is goka's: the table of group g is topic g-table.
const tableSuffix = "-table"

func tableOf(group string) string { return group + tableSuffix }

// Resolve returns the table topic behind a name: an alias' table, else the topic
// of that name, else the table of the group of that name. Where there is none,
// found is false and the error is a *[NotFoundError].
func Resolve(ctx context.Context, c *kafka.Cluster, name string) (table string, found bool, err error) {
	as, err := Read(ctx, c)
	if err != nil {
		return "", false, err
	}
	return as.Resolve(ctx, c, name)
}

// Resolve is the function Resolve for aliases that were read before.
func (as Aliases) Resolve(ctx context.Context, c *kafka.Cluster, name string) (table string, found bool, err error) {
	if a, ok := as[name]; ok {
		return a.Table, true, nil
	}
	topics, err := c.AllTopics(ctx)
	if err != nil {
		return "", false, fmt.Errorf("resolve table %q: %w", name, err)
	}
	if table, ok := pick(name, topics); ok {
		return table, true, nil
	}
	return "", false, &NotFoundError{Name: name, Near: near(name, as, topics)}
}

func pick(name string, topics []string) (string, bool) {
	for _, t := range []string{name, tableOf(name)} {
		if slices.Contains(topics, t) {
			return t, true
		}
	}
	return "", false
}

// near returns up to five names of tables, those that differ least first.
func near(name string, as Aliases, topics []string) []string {
	const most = 5
	type candidate struct {
		name string
		cost int
	}
	var cs []candidate
	add := func(s string) {
		cost := distance(strings.ToLower(name), strings.ToLower(s))
		if strings.Contains(s, name) || strings.Contains(name, s) {
			cost = 1
		}
		if cost <= 1+len(name)/3 {
			cs = append(cs, candidate{s, cost})
		}
	}
	for a := range as {
		add(a)
	}
	for _, t := range topics {
		if g, ok := strings.CutSuffix(t, tableSuffix); ok && g != "" {
			add(g)
		}
	}
	slices.SortFunc(cs, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.cost, b.cost), strings.Compare(a.name, b.name))
	})
	var names []string
	for _, c := range cs {
		if len(names) < most && !slices.Contains(names, c.name) {
			names = append(names, c.name)
		}
	}
	return names
}

// distance is the number of bytes to insert, delete or replace between a and b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}
