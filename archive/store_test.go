package archive

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/seed-73111be4/kappa/archive/buckettest"
)

func onS3(t *testing.T) (*buckettest.S3, *Archive) {
	s3 := buckettest.Start(t)
	return s3, New(openBucket(t, s3.URL()), config(0))
}

func TestFaultsOfTheStoreAreSurvived(t *testing.T) {
	buckettest.Each(t, func(t *testing.T, s3 *buckettest.S3) {
		var wg sync.WaitGroup
		n := 0
		for name, faults := range storeFaults() { // all at once: what takes time is the client's patience
			n++
			folder := fmt.Sprintf("%d-th/", n)
			wg.Go(func() { t.Run(name, func(t *testing.T) { surviveFaults(t, s3, folder, faults) }) })
		}
		wg.Wait()
		if n := s3.Pending(); n != 0 {
			t.Errorf("%d faults did not happen", n)
		}
	})
}

// storeFaults returns what a store may do to an archiver, each by its name.
func storeFaults() map[string][]buckettest.Fault {
	const put, get = http.MethodPut, http.MethodGet
	return map[string][]buckettest.Fault{
		"the answer to a manifest is lost":      {buckettest.LoseAnswer(put, manifestFolder, 1)},
		"the answers to all tries are lost":     {buckettest.LoseAnswer(put, manifestFolder, 4)},
		"the answer to a segment is lost":       {buckettest.LoseAnswer(put, segmentFolder, 1)},
		"409 to a manifest":                     {buckettest.Status(put, manifestFolder, 1, 409, "ConditionalRequestConflict")},
		"412 to a manifest that is not there":   {buckettest.Status(put, manifestFolder, 1, 412, "PreconditionFailed")},
		"500 to puts":                           {buckettest.Status(put, "", 2, 500, "InternalError")},
		"503 to gets":                           {buckettest.Status(get, "", 2, 503, "SlowDown")},
		"503 to listings":                       {buckettest.Status(get, " ", 2, 503, "SlowDown")},
		"half of a segment":                     {buckettest.HalfBody(get, segmentFolder, 2)},
		"half of a manifest":                    {buckettest.HalfBody(get, manifestFolder, 1)},
		"everything is slow":                    {buckettest.Slow("", "", 6, 20*time.Millisecond)},
		"the connection is cut":                 {buckettest.HangUp("", "", 2)},
		"half of a segment is sent":             {buckettest.HalfUpload(put, segmentFolder, 1)}, // the client tries three times, and may meet a dead connection besides
		"half of a manifest is sent":            {buckettest.HalfUpload(put, manifestFolder, 1)},
		"the answer is lost, then 500 and half": {buckettest.LoseAnswer(put, manifestFolder, 1), buckettest.Status(get, manifestFolder, 1, 500, "InternalError"), buckettest.HalfBody(get, manifestFolder, 1)},
	}
}

// surviveFaults archives while requests go wrong, in a folder of its own.
func surviveFaults(t *testing.T, s3 *buckettest.S3, folder string, faults []buckettest.Fault) {
	a := New(openBucket(t, s3.URL()+"&prefix="+url.QueryEscape(folder)), config(0))
	kafka := randomBroker(7, 40)
	w := writer(t, a)
	for _, f := range faults {
		f.Under = folder
		s3.Fault(f)
	}
	m := archiveAll(t, w, kafka, 2_000)
	if got := readBack(t, a, m, ReadConfig{ChunkBytes: 500}); !bytes.Equal(got, kafka.raw(0, kafka.next)) {
		t.Errorf("read %d bytes", len(got))
	}
	latest, err := a.Latest(t.Context(), testLog)
	if err != nil || latest.Number != uint64(len(m.Segments)) || latest.sum != m.sum {
		t.Errorf("the newest manifest is %+v, %v", latest, err)
	}
}
