// Package archive keeps logs of Kafka in a bucket, byte for byte, and reads them back.
// It knows the format of record batches but no Kafka: whoever fetches hands it the raw
// batches of a broker's answers, and gets raw batches back, to be decoded by the code
// that decodes live fetches.
//
// An archive has, for each partition of a topic (a [Log]),
//
//	segments    objects that hold record batches, verbatim, and a footer with an index
//	manifests   numbered objects that say which segments count, the newest alone
//
// docs/format/archive.md has every byte. Manifests are created only if absent: who
// creates number n+1 has extended the archive, everybody else has not. That race is the
// only fence there is, and it needs no lock, no lease and no clock.
//
// Writing, by one who follows a partition:
//
//	w, err := a.Writer(ctx, log)                     // reads the newest manifest
//	s, err := w.Segment(ctx, archive.SegmentConfig{})
//	for !s.Full() {
//		next, err := s.Append(fetched(s.Next()))  // checked, indexed, uploaded at once
//	}
//	sealed, err := s.Seal()                          // the object is complete, and counts for nothing
//	m, err := w.Commit(ctx, archive.Append(sealed))  // now it counts
//
// Kafka is the buffer: a segment is begun when enough has gathered there, by bytes or
// by age, so memory is that of the uploads under way. A crash at any point leaves the
// newest manifest true; an object that no manifest counts is an orphan, which
// [Writer.Collect] removes when it is old. Merging ([Writer.Merge]), healing,
// truncation, retention are [Edit]s like any other.
//
// Reading: [Archive.Latest] for the manifest, [Archive.OffsetAfter] for a time,
// [Archive.Read] for a [Reader] that fetches ahead within a [Budget] and yields
// [Chunk]s: whole batches, the aborted transactions among them, the position after.
// Nothing is returned that was not verified, and nothing is skipped: what is damaged,
// missing or was never archived is an error with its name.
//
// An Archive, a Writer and a Budget are safe for concurrent use. A SegmentWriter and a
// Reader have one owner each.
package archive
