// Package buckettest gives tests S3 servers with faults at the wire: what is under test
// talks to them through the real client.
//
//	s3 := buckettest.Start(t)
//	b, err := bucket.Open(ctx, s3.URL())
//	s3.Fault(buckettest.LoseAnswer(http.MethodPut, "manifest/"))
//
// [Start] runs an imitation in the process: it keeps S3's promises as far as single
// requests go, conditional puts included, and ignores conditions on uploads in parts.
// [Real] runs a product, versitygw, as a process, with the same faults in a proxy in
// front of it. [Each] runs a test on both.
package buckettest
