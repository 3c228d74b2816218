package kappa

import (
	"errors"
	"fmt"
	"strings"

	"github.com/seed-73111be4/kappa/archive"
	"github.com/seed-73111be4/kappa/internal/kafka"
	"github.com/seed-73111be4/kappa/record"
	"github.com/seed-73111be4/kappa/views"
)

// hint says how to mend an error, where its type tells and its text does not.
func hint(app App, err error) string {
	waiting := (*views.WaitError)(nil)
	var topic kafka.Problem
	damaged := (*damagedError)(nil)
	switch {
	case errors.As(err, &topic) && strings.HasSuffix(topic.What, "does not exist"):
		return fmt.Sprintf("%s topics create makes the topics that the groups need", app.Name)
	case errors.As(err, &waiting):
		return "give it more time with --wait; a log that ends in an open transaction is readable once that has ended"
	case errors.As(err, &damaged), errors.Is(err, archive.ErrCorrupt):
		return fmt.Sprintf("%s archive heal rebuilds what Kafka still has", app.Name)
	case errors.Is(err, errNotInArchive):
		return fmt.Sprintf("%s archive ls shows what there is", app.Name)
	case errors.Is(err, errNoGroup):
		return "groups are named as in their definitions, not as their topics"
	case errors.Is(err, record.ErrUnknownTopic) && len(app.Groups) > 0:
		return fmt.Sprintf("%s topics create makes the topics that the groups need; %s run makes their own", app.Name, app.Name)
	case errors.Is(err, record.ErrUnknownTopic):
		return fmt.Sprintf("%s topics list shows what there is", app.Name)
	case errors.Is(err, record.ErrRecreated):
		return "the topic was deleted and made anew: what was computed of the old one does not fit; use a new group, or delete the group's topics and state as well"
	}
	return ""
}
