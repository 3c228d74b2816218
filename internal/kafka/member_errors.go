package kafka

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/seed-73111be4/kappa/internal/kafka/balance"
)

// FencedError says that another process has joined the group under this member's
// instance id: of the two the older one, this one, must stop.
type FencedError struct{ Group, Instance string }

// Error says how to tell the processes apart.
func (e *FencedError) Error() string {
	return fmt.Sprintf("instance %q of group %q is in use by another process, which has joined later and taken over: "+
		"give each process an instance id or a state directory of its own", e.Instance, e.Group)
}

// RefusedError says that the group runs a topology that this member's does not
// fit. The group goes on undisturbed.
type RefusedError struct{ Group, Reason string }

// Error gives the leader's reason, which names both topologies.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("group %q refuses this member: %s", e.Group, e.Reason)
}

// fatal returns what a listener is told where the membership cannot go on, nil
// where the client's own retries may mend it.
func (m *Member) fatal(err error) error {
	var mismatch *balance.MismatchError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, kerr.FencedInstanceID):
		return &FencedError{Group: m.config.Group, Instance: m.config.Instance}
	case errors.As(err, &mismatch), errors.Is(err, errStaleAssignment):
		return fmt.Errorf("join group %q: %w", m.config.Group, err)
	}
	if hint := memberHint(err); hint != "" {
		return fmt.Errorf("join group %q: %w (%s)", m.config.Group, err, hint)
	}
	return nil
}

func memberHint(err error) string {
	for _, h := range memberHints {
		if errors.Is(err, h.err) {
			return h.hint
		}
	}
	return ""
}

var memberHints = []struct {
	err  error
	hint string
}{
	{kerr.GroupAuthorizationFailed, "grant Read on the group to this user"},
	{kerr.TopicAuthorizationFailed, "grant Describe and Read on the group's inputs to this user"},
	{kerr.ClusterAuthorizationFailed, "check the user's permissions"},
	{kerr.SaslAuthenticationFailed, "check the SASL mechanism and credentials"},
	{kerr.InconsistentGroupProtocol, "the group has members that are not kappa's: stop them, or use another group name"},
	{kerr.InvalidSessionTimeout, "the session timeout is outside the broker's group.min.session.timeout.ms and group.max.session.timeout.ms"},
	{kerr.InvalidGroupID, "use a legal group name"},
	{kerr.GroupMaxSizeReached, "the broker's group.max.size allows no further member"},
	{kerr.UnsupportedVersion, "the broker is too old"},
}

// errStaleAssignment ends a membership whose leader answers with assignments made
// for somebody else however often it is asked.
var errStaleAssignment = errors.New("the group's leader keeps sending an assignment that was made for an earlier process (run one version of the program)")
