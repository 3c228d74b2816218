package kafka

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// That a client was closed is no error to those who closed it.
func TestAClosedClientIsNoErrorInTheLog(t *testing.T) {
	var out strings.Builder
	l := clientLog{slog.New(slog.NewTextHandler(&out, nil))}
	l.Log(kgo.LogLevelError, "group manage loop errored", "group", "g", "err", fmt.Errorf("heartbeat: %w", kgo.ErrClientClosed))
	if out.Len() > 0 {
		t.Errorf("logged: %s", out.String())
	}
	l.Log(kgo.LogLevelError, "group manage loop errored", "group", "g", "err", fmt.Errorf("heartbeat"))
	if !strings.Contains(out.String(), "level=ERROR") {
		t.Errorf("not logged: %q", out.String())
	}
}
