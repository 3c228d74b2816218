package kafka

import (
	"context"
	"errors"
	"net"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Transient reports whether err says no more than that the brokers cannot answer
// now: the same call may work later.
func Transient(err error) bool {
	var broken net.Error
	return !missing(err) && kerr.IsRetriable(err) || kgo.IsRetryableBrokerErr(err) ||
		errors.As(err, &broken) || errors.Is(err, context.DeadlineExceeded)
}
