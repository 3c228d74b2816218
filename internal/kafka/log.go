package kafka

import (
	"context"
	"errors"
	"log/slog"

	"github.com/twmb/franz-go/pkg/kgo"
)

// clientLog hands the client library's log to slog one level lower than it was
// meant: its information, several lines a transaction, is our debug.
type clientLog struct{ to *slog.Logger }

func (l clientLog) Level() kgo.LogLevel {
	ctx := context.Background()
	switch {
	case l.to.Enabled(ctx, slog.LevelDebug):
		return kgo.LogLevelInfo
	case l.to.Enabled(ctx, slog.LevelWarn):
		return kgo.LogLevelWarn
	case l.to.Enabled(ctx, slog.LevelError):
		return kgo.LogLevelError
	}
	return kgo.LogLevelNone
}

func (l clientLog) Log(level kgo.LogLevel, msg string, keyvals ...any) {
	to := slog.LevelDebug
	switch level {
	case kgo.LogLevelError:
		to = slog.LevelError
	case kgo.LogLevelWarn:
		to = slog.LevelWarn
	case kgo.LogLevelDebug:
		return
	}
	if closed(keyvals) {
		to = slog.LevelDebug // we closed it, perhaps amid a request
	}
	l.to.Log(context.Background(), to, "kafka client: "+msg, keyvals...)
}

// closed reports whether a line tells only that its client was closed.
func closed(keyvals []any) bool {
	for _, v := range keyvals {
		if err, ok := v.(error); ok && errors.Is(err, kgo.ErrClientClosed) {
			return true
		}
	}
	return false
}
