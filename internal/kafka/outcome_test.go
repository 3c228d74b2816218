package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Each line: what the brokers or the client say, and the outcomes in the order of
// the steps: init, begin, produce, offsets, commit, abort.
func TestOutcomes(t *testing.T) {
	for _, line := range []struct {
		err  error
		want string
	}{
		{nil, "ok ok ok ok ok ok"},
		{kerr.ProducerFenced, "fenced fenced fenced fenced fenced fenced"},
		{kerr.InvalidProducerEpoch, "fenced fenced fenced fenced fenced fenced"},
		{kerr.FencedInstanceID, "fenced fenced fenced fenced fenced fenced"},
		{kerr.IllegalGeneration, "stale stale stale stale stale stale"},
		{kerr.UnknownMemberID, "stale stale stale stale stale stale"},
		{kerr.RebalanceInProgress, "stale stale stale stale stale stale"},
		{kerr.TransactionalIDAuthorizationFailed, "fatal fatal fatal fatal fatal fatal"},
		{kerr.TopicAuthorizationFailed, "fatal fatal fatal fatal fatal fatal"},
		{kerr.GroupAuthorizationFailed, "fatal fatal fatal fatal fatal fatal"},
		{kerr.UnsupportedVersion, "fatal fatal fatal fatal fatal fatal"},
		{kerr.InvalidTransactionTimeout, "fatal fatal fatal fatal fatal fatal"},
		{kerr.InvalidTxnState, "unknown unknown unknown unknown unknown unknown"},
		{kerr.InvalidProducerIDMapping, "unknown unknown unknown unknown unknown unknown"},
		{kerr.OutOfOrderSequenceNumber, "unknown unknown unknown unknown unknown unknown"},
		{kerr.OperationNotAttempted, "unknown unknown aborted aborted aborted unknown"},
		{kerr.UnknownServerError, "retry unknown aborted aborted unknown unknown"},
		{kerr.TransactionAbortable, "retry unknown aborted aborted aborted unknown"},
		{kerr.UnknownProducerID, "retry unknown aborted aborted aborted unknown"},
		{kerr.MessageTooLarge, "fatal fatal aborted aborted unknown unknown"},
		{kerr.InvalidTimestamp, "fatal fatal aborted aborted unknown unknown"},
		{kerr.UnknownTopicOrPartition, "retry retry aborted aborted unknown unknown"},
		{kerr.NotEnoughReplicas, "retry retry aborted aborted unknown unknown"},
		{kerr.ConcurrentTransactions, "retry retry aborted aborted unknown unknown"},
		{kerr.CoordinatorNotAvailable, "retry retry aborted aborted unknown unknown"},
		{kgo.ErrClientClosed, "unknown unknown unknown unknown unknown unknown"},
		{context.DeadlineExceeded, "retry retry aborted aborted unknown unknown"},
		{errors.New("connection reset"), "retry retry aborted aborted unknown unknown"},
	} {
		var got []string
		for s := range steps {
			plain, wrapped := judge(s, line.err), judge(s, wrap(line.err))
			if plain.Outcome != wrapped.Outcome {
				t.Errorf("%v in %q: %v, but wrapped %v", line.err, s, plain.Outcome, wrapped.Outcome)
			}
			if (plain.Err == nil) != (plain.Outcome == OK) || line.err != nil && !errors.Is(plain.Err, line.err) {
				t.Errorf("%v in %q: error %v", line.err, s, plain.Err)
			}
			got = append(got, plain.Outcome.String())
		}
		wantEqual(t, fmt.Sprint(line.err), strings.Join(got, " "), line.want)
	}
}

func wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("somewhere: %w", &ProduceError{Topic: "t", Err: err})
}

// A commit that failed must never look as if it could be made again.
func TestNoErrorOfACommitIsRetried(t *testing.T) {
	for _, r := range rulings {
		if o := judge(commitStep, r.err).Outcome; o == Retry || o == OK {
			t.Errorf("%v: %v", r.err, o)
		}
	}
	for code := int16(-1); code < 140; code++ {
		if err := kerr.ErrorForCode(code); err != nil {
			if o := judge(commitStep, err).Outcome; o == Retry || o == OK {
				t.Errorf("%v: %v", err, o)
			}
		}
	}
}
