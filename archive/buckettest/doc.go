// Package buckettest gives tests an S3 server in the process, with faults at the wire:
// what is under test talks to it through the real client.
//
//	s3 := buckettest.Start(t)
//	b, err := bucket.Open(ctx, s3.URL())
//	s3.Fault(buckettest.LoseAnswer(http.MethodPut, "manifest/"))
//
// The server keeps S3's promises as far as single requests go, conditional puts
// included; it ignores conditions on uploads in parts.
package buckettest
