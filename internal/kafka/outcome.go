package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Outcome is what a step of a transaction came to. It is all that the engine
// branches on; the error beside it is for people.
type Outcome uint8

const (
	// OK: done. Ready, flushed, offsets in the transaction, committed, aborted.
	OK Outcome = iota
	// Retry: nothing happened, and the same call may be made again. It has been
	// retried for a while already.
	Retry
	// Stale: the fence is not valid any more (generation or member), so the task
	// may belong to another. The transaction must be aborted.
	Stale
	// Fenced: a newer producer with this transactional id exists, or the brokers
	// ended the transaction because it outlived its timeout, or the group's static
	// instance was taken over. The producer is dead; see Rebuild.
	Fenced
	// Aborted: the transaction cannot commit. End(false) ends it, if it has not
	// ended yet; the producer is usable afterwards.
	Aborted
	// Unknown: whether it happened cannot be known. Rebuild the producer, Init it,
	// and read the logs again.
	Unknown
	// Fatal: configuration or authorization. Trying again will not help.
	Fatal
)

// String returns the outcome's name in lower case, as logs and metrics spell it.
func (o Outcome) String() string {
	switch o {
	case OK:
		return "ok"
	case Retry:
		return "retry"
	case Stale:
		return "stale"
	case Fenced:
		return "fenced"
	case Aborted:
		return "aborted"
	case Unknown:
		return "unknown"
	case Fatal:
		return "fatal"
	}
	return "invalid"
}

// Result is an outcome and, unless it is OK, the error that led to it.
type Result struct {
	Outcome Outcome
	Err     error
}

// String returns the outcome and its cause.
func (r Result) String() string {
	if r.Err == nil {
		return r.Outcome.String()
	}
	return fmt.Sprintf("%s: %v", r.Outcome, r.Err)
}

// step is a step of the transaction protocol; the same error means different
// things in different steps.
type step uint8

const (
	initStep step = iota
	beginStep
	produceStep
	offsetsStep
	commitStep
	abortStep
	steps
)

func (s step) String() string {
	return [...]string{"init producer", "begin transaction", "produce", "commit offsets", "commit transaction", "abort transaction"}[s]
}

// ruling gives the outcome of one error in each step.
type ruling struct {
	err  error
	what [steps]Outcome // init, begin, produce, offsets, commit, abort
}

// everywhere is a ruling that does not depend on the step.
func everywhere(o Outcome) [steps]Outcome { return [steps]Outcome{o, o, o, o, o, o} }

// poisoned is the ruling for errors that leave the producer id unusable.
var poisoned = [steps]Outcome{Unknown, Unknown, Unknown, Unknown, Unknown, Unknown}

// rulings is the table of all errors that are not judged by their kind. The first
// that matches decides.
var rulings = []ruling{
	// Another has taken over, or the transaction outlived its timeout.
	{kerr.ProducerFenced, everywhere(Fenced)},
	{kerr.InvalidProducerEpoch, everywhere(Fenced)},
	{kerr.FencedInstanceID, everywhere(Fenced)},

	// The group has moved on.
	{kerr.IllegalGeneration, everywhere(Stale)},
	{kerr.UnknownMemberID, everywhere(Stale)},
	{kerr.RebalanceInProgress, everywhere(Stale)},
	{kerr.StaleMemberEpoch, everywhere(Stale)},

	// Nobody will let us, ever.
	{kerr.TransactionalIDAuthorizationFailed, everywhere(Fatal)},
	{kerr.TopicAuthorizationFailed, everywhere(Fatal)},
	{kerr.GroupAuthorizationFailed, everywhere(Fatal)},
	{kerr.ClusterAuthorizationFailed, everywhere(Fatal)},
	{kerr.SaslAuthenticationFailed, everywhere(Fatal)},
	{kerr.UnsupportedSaslMechanism, everywhere(Fatal)},
	{kerr.UnsupportedVersion, everywhere(Fatal)},
	{kerr.UnsupportedForMessageFormat, everywhere(Fatal)},
	{kerr.UnsupportedCompressionType, everywhere(Fatal)},
	{kerr.InvalidTransactionTimeout, everywhere(Fatal)},
	{kerr.InvalidRequiredAcks, everywhere(Fatal)},
	{kerr.InvalidGroupID, everywhere(Fatal)},
	{kerr.InvalidRequest, [steps]Outcome{Fatal, Fatal, Fatal, Fatal, Unknown, Unknown}},

	// The producer's id is of no use any more; a new client makes a new start.
	{kerr.InvalidTxnState, poisoned},
	{kerr.InvalidProducerIDMapping, poisoned},
	{kerr.OutOfOrderSequenceNumber, poisoned},
	{kerr.DuplicateSequenceNumber, poisoned},
	{kerr.TransactionCoordinatorFenced, poisoned},
	{kerr.OperationNotAttempted, [steps]Outcome{Unknown, Unknown, Aborted, Aborted, Aborted, Unknown}},
	{kerr.UnknownServerError, [steps]Outcome{Retry, Unknown, Aborted, Aborted, Unknown, Unknown}},

	// This transaction is lost, the next one need not be. An abort that meets one
	// of these has been answered by the transaction's end.
	{kerr.TransactionAbortable, [steps]Outcome{Retry, Unknown, Aborted, Aborted, Aborted, Unknown}},
	{kerr.UnknownProducerID, [steps]Outcome{Retry, Unknown, Aborted, Aborted, Aborted, Unknown}},
	{kerr.MessageTooLarge, [steps]Outcome{Fatal, Fatal, Aborted, Aborted, Unknown, Unknown}},
	{kerr.RecordListTooLarge, [steps]Outcome{Fatal, Fatal, Aborted, Aborted, Unknown, Unknown}},
	{kerr.InvalidRecord, [steps]Outcome{Fatal, Fatal, Aborted, Aborted, Unknown, Unknown}},
	{kerr.InvalidTimestamp, [steps]Outcome{Fatal, Fatal, Aborted, Aborted, Unknown, Unknown}},
	{kerr.OffsetMetadataTooLarge, [steps]Outcome{Fatal, Fatal, Aborted, Aborted, Unknown, Unknown}},
	{kgo.ErrAborting, [steps]Outcome{Retry, Unknown, Aborted, Aborted, Unknown, Unknown}},
	{kgo.ErrRecordTimeout, [steps]Outcome{Retry, Unknown, Aborted, Aborted, Unknown, Unknown}},
	{kgo.ErrRecordRetries, [steps]Outcome{Retry, Unknown, Aborted, Aborted, Unknown, Unknown}},
	{kgo.ErrMaxBuffered, [steps]Outcome{Retry, Unknown, Aborted, Aborted, Unknown, Unknown}},
	{kgo.ErrClientClosed, [steps]Outcome{Unknown, Unknown, Unknown, Unknown, Unknown, Unknown}},
}

// unnamed is the ruling for every other error: dead connections, ends of
// contexts, coordinators that moved or load for too long. Before the end of a
// transaction such an error costs the transaction; at its end it leaves the
// outcome open.
var unnamed = [steps]Outcome{Retry, Retry, Aborted, Aborted, Unknown, Unknown}

// judge turns the error of a step into its result; nil is OK.
func judge(s step, err error) Result {
	if err == nil {
		return Result{}
	}
	what := unnamed[s]
	for i := range rulings {
		if errors.Is(err, rulings[i].err) {
			what = rulings[i].what[s]
			break
		}
	}
	return Result{what, fmt.Errorf("%s: %w%s", s, err, hint(what, err))}
}

func hint(o Outcome, err error) string {
	switch {
	case errors.Is(err, kerr.TransactionalIDAuthorizationFailed):
		return " (grant Write and Describe on transactional ids that begin with the group's name)"
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		return " (grant Write on the topic)"
	case errors.Is(err, kerr.GroupAuthorizationFailed):
		return " (grant Read on the group)"
	case errors.Is(err, kerr.InvalidTransactionTimeout):
		return " (the broker's transaction.max.timeout.ms is lower)"
	case o == Fenced && !errors.Is(err, kerr.FencedInstanceID):
		return " (a newer producer with this transactional id, or a transaction older than its timeout)"
	case errors.Is(err, context.DeadlineExceeded):
		return " (the brokers did not answer in time)"
	}
	return ""
}

// ProduceError is a record that no broker would take.
type ProduceError struct {
	Topic     string
	Partition int32
	Size      int // bytes of key, value and headers
	Err       error
}

// Error names the record and, where it is too large, how to mend it.
func (e *ProduceError) Error() string {
	mend := ""
	if errors.Is(e.Err, kerr.MessageTooLarge) || errors.Is(e.Err, kerr.RecordListTooLarge) {
		mend = "; raise the topic's max.message.bytes, or make the record smaller"
	}
	return fmt.Sprintf("record of %d bytes for %s/%d: %v%s", e.Size, e.Topic, e.Partition, e.Err, mend)
}

// Unwrap returns the broker's or the client's error.
func (e *ProduceError) Unwrap() error { return e.Err }
