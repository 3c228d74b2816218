package archive

import (
	"errors"
	"net/http"
	"testing"

	"gocloud.dev/blob"

	"github.com/seed-73111be4/kappa/archive/buckettest"
)

func TestAProbeFindsBucketsGoodAndLeavesNothing(t *testing.T) {
	eachBucket(t, func(t *testing.T, b *blob.Bucket) {
		a := New(b, config(0))
		if err := a.Probe(t.Context()); err != nil {
			t.Error(err)
		}
		if keys := keysOf(t, a, ""); len(keys) > 0 {
			t.Errorf("left: %q", keys)
		}
	})
}

// A store that passes over the condition of a create says nothing; the probe does.
func TestAProbeNamesABucketThatPassesOverConditions(t *testing.T) {
	s3, a := onS3(t)
	s3.Fault(buckettest.Fault{Method: http.MethodPut, Times: 2, Serve: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		r.Header.Del("If-None-Match")
		next.ServeHTTP(w, r)
	}})
	if err := a.Probe(t.Context()); !errors.Is(err, ErrUnconditional) {
		t.Errorf("probe: %v", err)
	}
	if err := a.Probe(t.Context()); err != nil {
		t.Errorf("the store keeps conditions now: %v", err)
	}
	s3.Requests(http.MethodPut)
	if err := a.Probe(t.Context()); err != nil || s3.Requests(http.MethodPut) != 0 {
		t.Errorf("what is known to be good is asked again, %v", err)
	}
}
